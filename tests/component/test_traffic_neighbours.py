"""What a flood does to a neighbour: everybody else's requests pass, and about as fast."""

import math
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from ringfence.model.proxy import ProxyConfig

from tests.component import traffic_rig
from tests.component.proxy_net import Identities
from tests.component.traffic_rig import Answer, Call, Rig, config, ended, fitting

pytestmark = pytest.mark.component

#: Requests that the flooding caller may send in a second, on so many connections at once.
RATE, CONNECTIONS = 50, 4
NEIGHBOUR = Call(times=1000, pause=0.02, seconds=3)
FLOOD = Call(namespace="bank", times=100_000, seconds=4)
UNBOUND = "[{name: big, maxBody: 1Gi}]"
#: The neighbour sends 50 a second at most, so that no limit is its own.
_OWN = f"callers: [{{identity: {{name: web}}, requests: {RATE * 4}, per: 1s}}]"
BOUND = f"[{{name: each, rateLimits: {{perCaller: {{requests: {RATE}, per: 1s, {_OWN}}}}}}}]"


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with traffic_rig.network(tmp_path_factory.mktemp("net")) as net:
        yield Rig(net, Identities(net.directory, "cluster.local"))


def beside(rig: Rig, made: ProxyConfig, *, flood: bool) -> tuple[list[Answer], list[Answer]]:
    """What the neighbour gets alone or while somebody sends as fast as can be, and what they get."""
    with rig.running(made):
        flooding = rig.started(*[[FLOOD]] * CONNECTIONS) if flood else None
        time.sleep(0.5 if flood else 0)
        (neighbour,) = ended(rig.started([NEIGHBOUR]))
        return neighbour, [each for group in ended(flooding) for each in group] if flooding else []


def percentile(answers: list[Answer], share: float) -> float:
    """In milliseconds."""
    return sorted(each.seconds for each in answers)[min(len(answers) - 1, int(share * len(answers)))] * 1000


def test_a_flood_is_held_and_its_neighbours_all_pass(rig: Rig) -> None:
    quiet, _ = beside(rig, config(BOUND), flood=False)
    loud, flood = beside(rig, config(BOUND), flood=True)
    unheld, free = beside(rig, config(UNBOUND), flood=True)
    for name, answers in (("quiet", quiet), ("flood held", loud), ("flood free", unheld)):
        print(f"{name}: p50 {percentile(answers, 0.5):.2f} ms, p95 {percentile(answers, 0.95):.2f} ms")
    print(
        f"held over quiet: p50 {percentile(loud, 0.5) / percentile(quiet, 0.5):.2f}; "
        f"free over quiet: p50 {percentile(unheld, 0.5) / percentile(quiet, 0.5):.2f}"
    )
    assert {each.status for each in (*quiet, *loud)} == {200}
    took = max(each.begun + each.seconds for each in flood) - min(each.begun for each in flood)
    passed = Counter(each.status for each in flood)
    assert set(passed) == {200, 429}
    assert passed[200] <= RATE + math.ceil(RATE * took)
    # However fast the machine sends: it may leave tokens unused.
    assert passed[200] >= 0.9 * fitting(sorted(each.begun for each in flood), RATE)
    assert set(Counter(each.status for each in free)) == {200}
