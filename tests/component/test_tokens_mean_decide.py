"""Random rules about tokens, and tokens good and forged: a real Envoy's answer against ``decide``."""

import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from ringfence.model.verdict import Reason

from tests.component import proxy_net, request_rig, token_rig
from tests.component.proxy_net import Identities
from tests.component.test_requests_mean_decide import enough, said

pytestmark = [pytest.mark.component, pytest.mark.timeout(3600)]

PAIRS = int(os.environ.get("RINGFENCE_TOKENS", "1500"))
#: Requests to one proxy.
SHARE = 250
#: Answers that must be among them.
REASONS = ("allowed", Reason.NO_RULE_ALLOWS, Reason.DENIED_BY_RULE)


def test_what_proxies_answer_is_what_decide_says_of_claims(tmp_path: Path, summary: Callable[[str], None]) -> None:
    seed = int(os.environ.get("RINGFENCE_SEED", random.randrange(2**31)))  # noqa: S311
    draw, count = token_rig.Draw(seed, token_rig.signers()), Counter[str]()
    wrong: list[str] = []
    with request_rig.network(tmp_path) as net:
        svids = Identities(tmp_path, "cluster.local")
        while not enough(count, PAIRS, REASONS) and len(wrong) < 30:
            written = draw.policies()
            known = request_rig.mesh(*written)
            asked = [draw.asked(written) for _ in range(SHARE)]
            with proxy_net.running(net, request_rig.config(known), svids.secrets("shop", "db")):
                answers = request_rig.ask(net, svids, asked)
            for each, (status, program, body) in zip(asked, answers, strict=True):
                half = said(known, each)
                count[half.reason if not half.allowed else "allowed"] += 1
                if program is not half.allowed:
                    rules = [p.spec.ingress for p in written]
                    wrong.append(f"{status} {body[:60]!r}, but {half}: {each}\n    under {rules}")
    total = sum(count.values())
    assert not wrong, f"RINGFENCE_SEED={seed}: {len(wrong)} of {total} disagree\n" + "\n".join(wrong[:10])
    for reason in REASONS:
        assert count[reason] > total // 100, count
    counts = ", ".join(f"{number} {reason}" for reason, number in sorted(count.items()))
    summary(f"proxies against decide, tokens: {total} agree ({counts}; seed {seed})")
