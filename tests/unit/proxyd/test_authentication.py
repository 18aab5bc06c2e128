"""Who is served: everything follows from the token and the pod, and what cannot be told is refused."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from ringfence.kube.token_reviews import Token
from ringfence.model import proxy
from ringfence.model.errors import RingfenceError
from ringfence.proxyd import authentication
from ringfence.proxyd.authentication import Authenticator, Caller, Refused, Why

from tests.unit.reconcile import fakes

GOOD = Token("shop", "web", "web-1", "uid-1", "node-1", 1_700_003_600.0)
BEARER = {"authorization": "Bearer a.b.c"}


class Reviewer:
    """Answers what it is told to; counts."""

    def __init__(self) -> None:
        self.answer: Token | RingfenceError | None = GOOD
        self.asked: list[tuple[str, str]] = []
        self.gate: asyncio.Event | None = None

    async def review(self, token: str, audience: str) -> Token | None:
        self.asked.append((token, audience))
        if self.gate is not None:
            await self.gate.wait()
        if isinstance(self.answer, RingfenceError):
            raise self.answer
        return self.answer


class Rig:
    def __init__(self) -> None:
        self.cluster = fakes.FakeCluster()
        self.clock = fakes.FakeClock()
        self.reviewer = Reviewer()
        self.enrolled = {"shop"}
        self.pod()
        self.authenticator = Authenticator(
            self.reviewer, self.cluster.lister("Pod"), lambda name: name in self.enrolled, self.clock
        )

    def pod(self, **spec: Any) -> None:
        metadata = {"name": "web-1", "namespace": "shop", "uid": "uid-1"}
        sidecar = {"name": proxy.CONTAINER, "restartPolicy": "Always"}
        whole = {"serviceAccountName": "web", "nodeName": "node-1", "initContainers": [sidecar], **spec}
        self.cluster.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": whole})

    def caller(self, metadata: dict[str, str] = BEARER) -> Caller:
        return asyncio.run(self.authenticator.caller(metadata))

    def refused(self, metadata: dict[str, str] = BEARER) -> Why:
        with pytest.raises(Refused) as caught:
            self.caller(metadata)
        assert "a.b.c" not in str(caught.value)
        return caught.value.why


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_a_good_token_of_a_pod_that_is_there(rig: Rig) -> None:
    assert rig.caller() == Caller("shop", "web-1", "uid-1", "web", "node-1", GOOD.expires)
    assert rig.reviewer.asked == [("a.b.c", "proxyd.ringfence.dev")]
    assert rig.caller().node_id == "shop/web-1/uid-1"


@pytest.mark.parametrize(
    "value",
    ["", "a.b.c", "Basic a.b.c", "Bearer ", "Bearer abc", "Bearer a.b.c.d", "Bearer a.b.ü", "Bearer a.b." + "c" * 9000],
)
def test_what_is_no_token_is_not_even_reviewed(rig: Rig, value: str) -> None:
    assert rig.refused({"authorization": value} if value else {}) is Why.NO_TOKEN
    assert rig.reviewer.asked == []


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda rig: setattr(rig.reviewer, "answer", None), Why.REJECTED),
        (lambda rig: setattr(rig.reviewer, "answer", RingfenceError("away")), Why.CANNOT_TELL),
        (lambda rig: setattr(rig.reviewer, "answer", replace(GOOD, pod="", pod_uid="")), Why.NOT_BOUND),
        (lambda rig: setattr(rig.reviewer, "answer", replace(GOOD, node="")), Why.NOT_BOUND),
        (lambda rig: setattr(rig.reviewer, "answer", replace(GOOD, expires=rig.clock.seconds)), Why.EXPIRED),
        (lambda rig: setattr(rig.reviewer, "answer", replace(GOOD, pod="web-2")), Why.NO_POD),
        (lambda rig: setattr(rig.reviewer, "answer", replace(GOOD, pod_uid="uid-0")), Why.OTHER_POD),
        (lambda rig: setattr(rig.reviewer, "answer", replace(GOOD, service_account="pay")), Why.OTHER_ACCOUNT),
        (lambda rig: setattr(rig.reviewer, "answer", replace(GOOD, node="node-2")), Why.OTHER_NODE),
        (lambda rig: rig.enrolled.clear(), Why.NOT_ENROLLED),
        (lambda rig: rig.pod(initContainers=[]), Why.NOT_INJECTED),
        (lambda rig: rig.pod(initContainers=[{"name": proxy.CONTAINER}]), Why.NOT_INJECTED),
        (lambda rig: rig.pod(hostNetwork=True), Why.NOT_INJECTED),
    ],
)
def test_everything_must_fit(
    rig: Rig, change: Callable[[Rig], None], why: Why, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authentication, "LATE_SECONDS", 0.0)
    change(rig)
    assert rig.refused() is why


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ("ipv4:10.9.0.2:40000", "10.9.0.2"),
        ("ipv6:%5Bfd00::2%5D:40000", "fd00::2"),
        ("ipv6:[fd00:0:0::2]:40000", "fd00::2"),
        ("ipv6:%5B::ffff:10.9.0.2%5D:40000", "10.9.0.2"),
        ("ipv6:%5Bfe80::2%25eth0%5D:40000", "fe80::2"),
        ("unix:/run/x", ""),
        ("ipv4:x:1", ""),
        ("", ""),
    ],
)
def test_the_address_of_a_peer(peer: str, expected: str) -> None:
    assert authentication.address(peer) == expected


@pytest.mark.parametrize(
    ("source", "own", "foreign"),
    [
        ("10.9.0.2", ["10.9.0.2"], False),
        ("fd00::2", ["10.9.0.2", "fd00:0:0::2"], False),
        ("10.9.0.3", ["10.9.0.2", "fd00::2"], True),
        ("10.9.0.3", [], False),
        ("", ["10.9.0.2"], False),
    ],
)
def test_where_a_proxy_calls_from(rig: Rig, source: str, own: list[str], foreign: bool) -> None:
    held = rig.cluster.objects["Pod", "shop", "web-1"]
    rig.cluster.put({**held, "status": {"podIPs": [{"ip": each} for each in own]}})
    strict = Authenticator(rig.reviewer, rig.cluster.lister("Pod"), lambda _: True, rig.clock, own_address_only=True)
    rig.authenticator.check(GOOD, source)
    if not foreign:
        strict.check(GOOD, source)
        return
    with pytest.raises(Refused) as caught:
        strict.check(GOOD, source)
    assert caught.value.why is Why.OTHER_ADDRESS
    assert source in caught.value.message


def test_a_finished_pod_is_not_served(rig: Rig) -> None:
    held = rig.cluster.objects["Pod", "shop", "web-1"]
    rig.cluster.put({**held, "status": {"phase": "Succeeded"}})
    assert rig.refused() is Why.FINISHED


def test_a_pod_that_the_cache_does_not_know_yet_is_waited_for(rig: Rig) -> None:
    held = rig.cluster.objects.pop(("Pod", "shop", "web-1"))
    naps = []

    async def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            rig.cluster.put(held)

    rig.authenticator._pause = nap
    assert rig.caller().pod == "web-1"
    assert len(naps) == 3


def test_a_good_answer_is_believed_for_a_minute_and_the_pod_is_looked_at_all_the_same(rig: Rig) -> None:
    rig.caller()
    rig.reviewer.answer = RingfenceError("away")
    rig.clock.seconds += 59
    rig.caller()
    rig.pod(nodeName="node-2")
    assert rig.refused() is Why.OTHER_NODE
    rig.pod()
    rig.clock.seconds += 2
    assert rig.refused() is Why.CANNOT_TELL


def test_more_callers_than_can_be_reviewed_are_sent_away(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authentication, "MAX_WAITING", 3)

    async def main() -> list[Any]:
        rig.reviewer.gate = asyncio.Event()
        waiting = [
            asyncio.create_task(rig.authenticator.caller({"authorization": f"Bearer a.b.{number}"}))
            for number in range(5)
        ]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        rig.reviewer.gate.set()
        return await asyncio.gather(*waiting, return_exceptions=True)

    found = asyncio.run(main())
    assert [each.why for each in found if isinstance(each, Refused)] == [Why.BUSY, Why.BUSY]
    assert sum(isinstance(each, Caller) for each in found) == 3
