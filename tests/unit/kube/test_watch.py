"""A Reflector ends in the state that a fresh list would give, whatever its watch went through."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from ringfence.kube import errors, resources, trim, watch

from tests.unit.kube.fakes import FakeApi, FakeClock, expired, listing, obj

QUICK = watch.Timing(first_retry=0.001, longest_retry=0.002)


async def until(condition: Callable[[], bool]) -> None:
    """Return when the condition holds; fails after two seconds."""
    async with asyncio.timeout(2):
        while not condition():  # noqa: ASYNC110 (what changes is plain state)
            await asyncio.sleep(0.001)


class Rig:
    """A Reflector of NetworkPolicies on a scripted API server, and what it told."""

    def __init__(self, *, selection: watch.Selection | None = None, **script: list[Any]) -> None:
        self.api = FakeApi(**script)
        self.clock = FakeClock()
        self.told: list[tuple[str, str]] = []
        self.reflector = watch.Reflector(
            self.api, resources.NETWORK_POLICIES, selection or watch.Selection(), timing=QUICK, clock=self.clock
        )
        self.reflector.subscribe(lambda namespace, name: self.told.append((namespace, name)))

    async def run(self, condition: Callable[[], bool]) -> None:
        """Run until the condition holds."""
        task = asyncio.create_task(self.reflector.run())
        try:
            await until(condition)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def drive(self, condition: Callable[[], bool]) -> None:
        asyncio.run(self.run(condition))

    @property
    def names(self) -> list[str]:
        return [each["metadata"]["name"] for each in self.reflector.list()]

    @property
    def watching(self) -> int:
        """How many watches were opened."""
        return sum(request.method == "WATCH" for request in self.api.requests)


def test_the_first_list_may_be_old_and_comes_in_pages() -> None:
    rig = Rig(answers=[listing(obj("a"), following="next"), listing(obj("b"), version="12")])
    rig.drive(lambda: rig.watching == 1)
    first, second, watching = rig.api.requests
    assert first.query == {"limit": "500", "resourceVersion": "0"}
    assert second.query == {"limit": "500", "continue": "next"}
    assert watching.query["resourceVersion"] == "12"
    assert watching.query["allowWatchBookmarks"] == "true"
    assert rig.names == ["a", "b"]
    assert rig.told == [("shop", "a"), ("shop", "b")]


def test_items_of_lists_get_their_kind() -> None:
    rig = Rig(answers=[listing(obj("a"))])
    rig.drive(lambda: rig.reflector.synced)
    held = rig.reflector.get("shop", "a")
    assert held is not None
    assert (held["apiVersion"], held["kind"]) == ("networking.k8s.io/v1", "NetworkPolicy")


def test_events_change_the_cache_and_are_told_by_key() -> None:
    events = [
        ("ADDED", obj("b", "11")),
        ("MODIFIED", obj("a", "12", spec={"x": 1})),
        ("DELETED", obj("b", "13")),
    ]
    rig = Rig(answers=[listing(obj("a"))], watches=[events])
    rig.drive(lambda: rig.watching == 2)
    assert rig.names == ["a"]
    assert rig.told == [("shop", "a"), ("shop", "b"), ("shop", "a"), ("shop", "b")]
    assert rig.api.requests[-1].query["resourceVersion"] == "13"


def test_a_bookmark_moves_the_version_and_is_not_told() -> None:
    bookmark = ("BOOKMARK", {"metadata": {"resourceVersion": "99"}, "spec": {"containers": None}})
    rig = Rig(answers=[listing()], watches=[[bookmark]])
    rig.drive(lambda: rig.watching == 2)
    assert rig.told == []
    assert rig.api.requests[-1].query["resourceVersion"] == "99"


@pytest.mark.parametrize(
    "gone",
    [expired(), ("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"})],
    ids=["refused", "in the stream"],
)
def test_after_expiry_everything_is_replaced_and_what_vanished_is_told(gone: Any) -> None:
    rig = Rig(
        answers=[listing(obj("stays"), obj("vanishes")), listing(obj("stays"), obj("new"), version="50")],
        watches=[[gone]],
    )
    rig.drive(lambda: rig.reflector.relists == 2 and rig.watching == 2)
    assert rig.names == ["new", "stays"]
    assert rig.told[2:] == [("shop", "new"), ("shop", "vanishes")]
    # Not from the server's cache: that may be as old as what has just expired.
    assert "resourceVersion" not in rig.api.requests[2].query


def test_an_unreachable_server_is_tried_again_and_said() -> None:
    trouble: list[str] = []
    rig = Rig(answers=[errors.Unreachable("no route"), listing(obj("a"))])
    rig.reflector.subscribe(lambda *_: trouble.append(rig.reflector.trouble))
    rig.drive(lambda: rig.watching == 1)
    assert trouble == ["no route"]
    assert rig.reflector.trouble == ""
    assert rig.names == ["a"]


def test_a_broken_watch_goes_on_where_it_was() -> None:
    rig = Rig(answers=[listing(obj("a"))], watches=[[("ADDED", obj("b", "11")), errors.Unreachable("cut")]])
    rig.drive(lambda: rig.watching == 2)
    assert rig.reflector.relists == 1
    assert rig.api.requests[-1].query["resourceVersion"] == "11"


def test_an_object_that_cannot_be_read_is_trouble_and_no_crash() -> None:
    rig = Rig(answers=[listing()], watches=[[("ADDED", ["not", "an", "object"])], [("ADDED", obj("b", "11"))]])
    rig.drive(lambda: rig.names == ["b"])


def test_selectors_are_the_api_servers() -> None:
    rig = Rig(answers=[listing()], selection=watch.Selection("shop", labels="a=b", fields="metadata.name=x"))
    rig.drive(lambda: rig.watching == 1)
    for request in rig.api.requests:
        assert request.path == "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies"
        assert request.query["labelSelector"] == "a=b"
        assert request.query["fieldSelector"] == "metadata.name=x"


def test_staleness_counts_from_the_last_sign_of_life() -> None:
    rig = Rig(answers=[listing()])
    seen: list[float] = []

    async def main() -> None:
        task = asyncio.create_task(rig.reflector.run())
        await until(lambda: rig.watching == 1)
        started = rig.clock.seconds
        seen.extend(rig.reflector.stale_for(started + passed) for passed in (0.0, 99.0, 101.0))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        seen.append(rig.reflector.stale_for(started + 5.0))

    asyncio.run(main())
    # Silent within reason: healthy. Too long: all of it counts. Not watching at all: counts at once.
    assert seen == [0.0, 0.0, 101.0, 5.0]


def test_before_the_first_list_a_cache_is_not_synced() -> None:
    rig = Rig(answers=[errors.Forbidden("no rights")] * 3)
    assert not rig.reflector.synced
    rig.drive(lambda: rig.reflector.trouble == "no rights")
    assert not rig.reflector.synced


def test_refresh_lists_again_although_the_watch_is_fine() -> None:
    rig = Rig(answers=[listing(obj("a")), listing(obj("missed"), version="60")])

    async def main() -> None:
        task = asyncio.create_task(rig.reflector.run())
        await until(lambda: rig.watching == 1)
        await asyncio.sleep(0.01)
        rig.reflector.refresh()
        await until(lambda: rig.names == ["missed"])
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())


class TestOwnWrites:
    """What the watch tells of an own write is not somebody's change; all else is."""

    def scripted(self, *steps: Any) -> Rig:
        rig = Rig(answers=[listing(obj("a", "5"))], watches=[list(steps)])
        rig.steps = steps  # type: ignore[attr-defined]
        return rig

    def test_the_event_of_an_own_write_is_not_told(self) -> None:
        rig = self.scripted()
        written = obj("a", "11", spec={"x": 1})
        rig.api.watches[0] = [
            lambda: rig.reflector.expect(obj("a")),
            ("MODIFIED", written),
            lambda: rig.reflector.learn(obj("a"), written),
        ]
        rig.drive(lambda: rig.watching == 2)
        assert rig.told == [("shop", "a")]
        assert rig.reflector.get("shop", "a") is not None

    def test_the_answer_is_known_before_the_watch_tells(self) -> None:
        rig = self.scripted()
        written = obj("a", "11", spec={"x": 1})
        seen: list[Any] = []
        rig.api.watches[0] = [
            lambda: rig.reflector.expect(obj("a")),
            lambda: rig.reflector.learn(obj("a"), written),
            lambda: seen.append((rig.reflector.get("shop", "a") or {}).get("spec")),
            ("MODIFIED", written),
        ]
        rig.drive(lambda: rig.watching == 2)
        assert seen == [{"x": 1}]
        assert rig.told == [("shop", "a")]

    def test_somebody_elses_change_meanwhile_is_told(self) -> None:
        rig = self.scripted()
        rig.api.watches[0] = [
            lambda: rig.reflector.expect(obj("a")),
            ("MODIFIED", obj("a", "11", spec={"theirs": 1})),
            ("MODIFIED", obj("a", "12", spec={"theirs": 1, "ours": 1})),
            lambda: rig.reflector.learn(obj("a"), obj("a", "12", spec={"theirs": 1, "ours": 1})),
        ]
        rig.drive(lambda: rig.watching == 2)
        assert rig.told == [("shop", "a"), ("shop", "a")]

    def test_a_failed_write_hides_nothing(self) -> None:
        rig = self.scripted()
        rig.api.watches[0] = [
            lambda: rig.reflector.expect(obj("a")),
            ("MODIFIED", obj("a", "11", spec={"theirs": 1})),
            lambda: rig.reflector.learn(obj("a"), None),
        ]
        rig.drive(lambda: rig.watching == 2)
        assert rig.told == [("shop", "a"), ("shop", "a")]

    def test_an_answer_that_the_watch_has_overtaken_is_not_taken(self) -> None:
        rig = self.scripted()
        rig.api.watches[0] = [
            lambda: rig.reflector.expect(obj("a")),
            ("MODIFIED", obj("a", "11", spec={"ours": 1})),
            ("DELETED", obj("a", "12")),
            lambda: rig.reflector.learn(obj("a"), obj("a", "11", spec={"ours": 1})),
        ]
        rig.drive(lambda: rig.watching == 2)
        assert rig.names == []
        assert rig.told == [("shop", "a"), ("shop", "a")]


def test_selects_knows_the_selectors_in_use() -> None:
    def selects(selection: watch.Selection, candidate: dict[str, Any]) -> bool:
        return watch.Reflector(FakeApi(), resources.SECRETS, selection).selects(candidate)

    labelled = obj("a")
    labelled["metadata"]["labels"] = {"app": "x"}
    assert selects(watch.Selection(), labelled)
    assert selects(watch.Selection("shop", labels="app=x", fields="metadata.name=a"), labelled)
    assert not selects(watch.Selection("other"), labelled)
    assert not selects(watch.Selection(labels="app=y"), labelled)
    assert not selects(watch.Selection(labels="app"), labelled)
    assert not selects(watch.Selection(fields="metadata.name=b"), labelled)


def test_trimmed_objects_are_what_is_held() -> None:
    api = FakeApi(answers=[listing(obj("a", spec={"serviceAccountName": "x", "volumes": []}))])
    reflector = watch.Reflector(api, resources.PODS, trim=trim.pod, timing=QUICK, clock=FakeClock())

    async def main() -> None:
        task = asyncio.create_task(reflector.run())
        await reflector.wait_synced()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
    held = reflector.get("shop", "a")
    assert held is not None
    assert held["spec"] == {"serviceAccountName": "x"}
