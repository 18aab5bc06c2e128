"""Random rules about tokens, and tokens good and forged: a real Envoy's answer against ``decide``."""

import os
import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from ringfence.model.mesh import Mesh
from ringfence.model.requests import Request
from ringfence.model.resources import SecurityPolicy
from ringfence.model.verdict import Reason

from tests.component import key_rig, proxy_net, request_rig, token_rig
from tests.component.proxy_net import Identities
from tests.component.request_rig import Asked
from tests.component.test_requests_mean_decide import enough, said

pytestmark = [pytest.mark.component, pytest.mark.timeout(3600)]

PAIRS = int(os.environ.get("RINGFENCE_TOKENS", "1500"))
#: Requests to one proxy.
SHARE = 250
#: Answers that must be among them.
REASONS = ("allowed", Reason.NO_RULE_ALLOWS, Reason.DENIED_BY_RULE)


def test_what_proxies_answer_is_what_decide_says_of_claims(tmp_path: Path, summary: Callable[[str], None]) -> None:
    seed = _seed()
    draw, found = token_rig.Draw(seed, token_rig.signers()), Found()
    with request_rig.network(tmp_path) as net:
        svids = Identities(tmp_path, "cluster.local")
        while not enough(found.count, PAIRS, REASONS) and len(found.wrong) < 30:
            written = draw.policies()
            known = request_rig.mesh(*written)
            asked = [draw.asked(written) for _ in range(SHARE)]
            with proxy_net.running(net, request_rig.config(known), svids.secrets("shop", "db")):
                found.compare(known, written, asked, request_rig.ask(net, svids, asked))
    summary(found.judged("tokens", seed))


def test_the_same_where_proxies_fetch_the_keys_of_one_issuer(tmp_path: Path, summary: Callable[[str], None]) -> None:
    seed = _seed()
    signers = token_rig.signers()
    chosen, found = random.Random(seed), Found()  # noqa: S311
    with key_rig.network(tmp_path) as served:
        while not enough(found.count, PAIRS // 3, REASONS) and len(found.wrong) < 30:
            by = chosen.choice(signers)
            told = tuple(served.declared(each) if each is by else each for each in signers)
            served.answers(body=key_rig.keys(by))
            draw = token_rig.Draw(chosen.randrange(2**31), told)
            written = draw.policies()
            known = key_rig.mesh(*written)
            asked = [draw.asked(written) for _ in range(SHARE // 2)]
            with served.running(request_rig.config(known)):
                # It waits for the keys, as only so many at once may.
                served.statuses(Request(headers=by.header(by.token())))
                found.compare(known, written, asked, request_rig.ask(served.net, served.svids, asked))
        assert any(" GET /keys" in each for each in served.seen())
    summary(found.judged("tokens by keys that are fetched", seed))


def _seed() -> int:
    return int(os.environ.get("RINGFENCE_SEED", random.randrange(2**31)))  # noqa: S311


@dataclass
class Found:
    """What ``decide`` says of the requests, and where a proxy said something else."""

    count: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        return sum(self.count.values())

    def compare(
        self,
        known: Mesh,
        written: tuple[SecurityPolicy, ...],
        asked: list[Asked],
        answers: Iterable[tuple[int, bool, str]],
    ) -> None:
        for each, (status, program, body) in zip(asked, answers, strict=True):
            half = said(known, each)
            self.count[half.reason if not half.allowed else "allowed"] += 1
            if program is not half.allowed:
                rules = [p.spec.ingress for p in written]
                self.wrong.append(f"{status} {body[:60]!r}, but {half}: {each}\n    under {rules}")

    def judged(self, what: str, seed: int) -> str:
        """That all agree, in words."""
        told = "\n".join(self.wrong[:10])
        assert not self.wrong, f"RINGFENCE_SEED={seed}: {len(self.wrong)} of {self.total} disagree\n{told}"
        for reason in REASONS:
            assert self.count[reason] > self.total // 100, self.count
        counts = ", ".join(f"{number} {reason}" for reason, number in sorted(self.count.items()))
        return f"proxies against decide, {what}: {self.total} agree ({counts}; seed {seed})"
