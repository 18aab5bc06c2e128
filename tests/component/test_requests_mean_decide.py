"""Random policies about requests, random and hostile requests: a real Envoy's answer against ``decide``."""

import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from ringfence.model.mesh import Mesh
from ringfence.model.requests import Opaque
from ringfence.model.resources import Protocol
from ringfence.model.verdict import Half, Reason
from ringfence.policy.decide import decide
from ringfence.policy.ends import Address, End

from tests.component import proxy_net, request_rig
from tests.component.proxy_net import Identities, Net
from tests.component.request_rig import API, HTTP_PORT, OUTSIDE, POD, TCP_PORT, WEB, Asked, Draw

pytestmark = [pytest.mark.component, pytest.mark.timeout(3600)]

PAIRS = int(os.environ.get("RINGFENCE_REQUESTS", "2000"))
#: Requests to one proxy.
SHARE = 250
#: Answers that must be among them.
REASONS = ("allowed", Reason.NO_RULE_ALLOWS, Reason.DENIED_BY_RULE, Reason.REQUEST_REFUSED, Reason.REQUEST_UNCLEAR)


def ends(known: Mesh, source: str) -> tuple[End, End]:
    pods = {pod.ips[0]: pod for pod in known.world.workloads["shop"]}
    return pods.get(source, Address(source)), pods[POD]


def said(known: Mesh, asked: Asked) -> Half:
    """What ``decide`` says of a request."""
    source, target = ends(known, asked.source)
    verdict = decide(
        known.world,
        known.effective,
        source,
        target,
        Protocol.TCP,
        HTTP_PORT,
        plaintext=not asked.shown,
        request=asked.request,
    )
    return verdict.ingress


def of_requests(net: Net, known: Mesh, svids: Identities, draw: Draw, count: Counter[str]) -> list[str]:
    """Where they disagree about requests."""
    asked = [draw.asked(known.world.policies["shop"]) for _ in range(SHARE)]
    wrong = []
    for each, (status, program, body) in zip(asked, request_rig.ask(net, svids, asked), strict=True):
        half = said(known, each)
        count[half.reason if not half.allowed else "allowed"] += 1
        count["tunnels"] += half.allowed and each.carried and each.request.tunnel
        if program is not (half.allowed and each.carried):
            wrong.append(f"{status} {body[:60]!r}, but {half}: {each}")
    return wrong


def of_bytes(net: Net, known: Mesh, svids: Identities, count: Counter[str]) -> list[str]:
    """The same about bytes, on the port that does not speak HTTP."""
    wrong = []
    asked = [(s, shown) for s in (WEB, API, OUTSIDE) for shown in (True, False) if not (s == OUTSIDE and shown)]
    calls = [
        Asked(request_rig.Request("GET", "/a"), source, shown).call(svids) | {"port": TCP_PORT}
        for source, shown in asked
    ]
    for (source, shown), (_, program, _) in zip(asked, request_rig.sent(net, calls), strict=True):
        a, b = ends(known, source)
        half = decide(
            known.world, known.effective, a, b, Protocol.TCP, TCP_PORT, plaintext=not shown, request=Opaque()
        ).ingress
        count["bytes"] += 1
        if program is not half.allowed:
            wrong.append(f"bytes by {source} {shown}: {program}, but {half}")
    return wrong


def enough(count: Counter[str], pairs: int, reasons: tuple[str, ...]) -> bool:
    """Whether as many pairs were tried, and each answer was seen often enough, or is not seen however many there are.

    A few policies may well be such that all is denied, or nothing by a rule.
    """
    total = count.total() - count["tunnels"]
    if count["tunnels"] <= total // 500:
        return total >= 10 * pairs
    return total >= pairs and (total >= 10 * pairs or all(count[reason] > total // 100 for reason in reasons))


def test_what_proxies_answer_is_what_decide_says(tmp_path: Path, summary: Callable[[str], None]) -> None:
    seed = int(os.environ.get("RINGFENCE_SEED", random.randrange(2**31)))  # noqa: S311
    draw, count = Draw(seed), Counter[str]()
    wrong: list[str] = []
    with request_rig.network(tmp_path) as net:
        svids = Identities(tmp_path, "cluster.local")
        while not enough(count, PAIRS, REASONS) and len(wrong) < 30:
            written = draw.policies()
            known = request_rig.mesh(*written)
            with proxy_net.running(net, request_rig.config(known), svids.secrets("shop", "db")):
                found = of_requests(net, known, svids, draw, count) + of_bytes(net, known, svids, count)
            wrong += [f"{line}\n    under {[p.spec.ingress for p in written]}" for line in found]
    tunnels = count.pop("tunnels")
    total = sum(count.values())
    assert not wrong, f"RINGFENCE_SEED={seed}: {len(wrong)} of {total} disagree\n" + "\n".join(wrong[:10])
    # A test that only ever sees one answer proves nothing.
    for reason in REASONS:
        assert count[reason] > total // 100, count
    assert tunnels > total // 500, tunnels
    counts = ", ".join(f"{number} {reason}" for reason, number in sorted(count.items()))
    summary(f"proxies against decide, requests: {total} agree ({counts}; {tunnels} through tunnels; seed {seed})")
