"""What a replica says of its proxies: those that have left too, and those of a process before it."""

import asyncio
import contextlib
import time
from collections.abc import Mapping

from ringfence.model.acknowledgements import PolicyState, Report
from ringfence.model.errors import RingfenceError
from ringfence.model.ports import Object
from ringfence.model.proxy import ProxyConfig
from ringfence.proxyd import reporting
from ringfence.proxyd.fleet import Member
from ringfence.proxyd.reporting import Reporter
from ringfence.proxyd.wire import Kind
from ringfence.reconcile import proxy_reports

from tests.unit.pki.material import NOW
from tests.unit.proxyd.fleet_rig import Rig, until
from tests.unit.proxyd.xds import Response, answer, config


class Store:
    """One ConfigMap, and how often it was written."""

    def __init__(self, held: Object | None = None) -> None:
        self.held = held
        self.writes = 0
        self.away = False

    async def write(self, obj: Object) -> None:
        if self.away:
            raise RingfenceError("away")
        self.held = obj
        self.writes += 1

    async def read(self) -> Object | None:
        return self.held

    def reporter(self, rig: Rig, generations: Mapping[str, int] | None = None) -> Reporter:
        return Reporter(
            rig.fleet,
            rig.clock,
            "proxyd-a",
            "ringfence-system",
            write=self.write,
            read=self.read,
            generations=lambda: generations or {},
        )

    @property
    def report(self) -> Report:
        assert self.held is not None
        return proxy_reports.decode(self.held)


def test_who_is_connected_and_what_they_use() -> None:
    async def main() -> None:
        rig = Rig()
        rig.translator.configure = lambda subject, mesh: config(  # type: ignore[method-assign]
            "r1", clusters=["c"], listeners=["in"], owners=("SecurityPolicy shop/web",)
        )
        reporter = Store().reporter(rig, {"SecurityPolicy shop/web": 7})
        one, two = await rig.connect("web-1"), await rig.connect("web-2")
        await rig.classes._pass()
        rig.talk(one)
        found = reporter.report()
        assert found.policies == {"SecurityPolicy shop/web": PolicyState(7, 1, 2)}
        first, second = found.proxies
        assert (first.pod, first.revision, first.connected, first.node) == ("web-1", "r1", True, "node-1")
        assert one.svid is not None
        assert (first.serial, first.root) == (one.svid.serial, one.svid.root)
        assert first.bundle == rig.authority.bundle.version if rig.authority.bundle else ""
        assert (second.pod, second.revision, second.bundle) == ("web-2", "", "")
        assert two.svid is not None

    asyncio.run(main())


def test_what_proxies_refuse_is_told_of_their_policies_until_it_is_another() -> None:
    async def main() -> None:
        rig = Rig()
        owner = "SecurityPolicy shop/web"
        rig.translator.configure = lambda subject, mesh: config(  # type: ignore[method-assign]
            "r1", clusters=["c"], listeners=["in"], owners=(owner,)
        )
        reporter = Store().reporter(rig, {owner: 7})
        one, two = await rig.connect("web-1"), await rig.connect("web-2")
        await rig.classes._pass()
        rig.talk(two)
        refuse(rig, one, "listener in: no such filter", Kind.LISTENERS)
        found = reporter.report().policies[owner]
        assert found == PolicyState(7, 1, 2, 1, ("listeners in: listener in: no such filter",))
        # The next configuration is not the one that was refused.
        rig.translator.configure = lambda subject, mesh: config(  # type: ignore[method-assign]
            "r2", clusters=["c"], listeners=["in@2"], owners=(owner,)
        )
        rig.classes._dirty = True
        await rig.classes._pass()
        assert reporter.report().policies[owner] == PolicyState(7, 0, 2)
        rig.talk(one)
        rig.talk(two)
        assert reporter.report().policies[owner] == PolicyState(7, 2, 2)

    asyncio.run(main())


def test_a_refused_secret_is_no_policys_matter() -> None:
    async def main() -> None:
        rig = Rig()
        owner = "SecurityPolicy shop/web"
        rig.translator.configure = lambda subject, mesh: config("r1", owners=(owner,))  # type: ignore[method-assign]
        reporter = Store().reporter(rig, {owner: 1})
        one = await rig.connect("web-1")
        await rig.classes._pass()
        refuse(rig, one, "no key", Kind.SECRETS)
        assert reporter.report().policies[owner].refused == 0
        assert reporter.report().proxies[0].nack.startswith("secrets ")

    asyncio.run(main())


def test_proxies_whose_configuration_cannot_be_computed_do_not_enforce_what_is_written() -> None:
    async def main() -> None:
        rig = Rig()
        owner = "SecurityPolicy shop/web"
        good = rig.translator.configure = lambda subject, mesh: config("r1", owners=(owner,))  # type: ignore[method-assign]
        reporter = Store().reporter(rig, {owner: 2})
        one = await rig.connect("web-1")
        await rig.classes._pass()
        rig.talk(one)
        assert reporter.report().policies[owner] == PolicyState(2, 1, 1)

        def defect(*_: object) -> ProxyConfig:
            raise RuntimeError("a defect")

        rig.translator.configure = defect  # type: ignore[method-assign]
        rig.classes._dirty = True
        await rig.classes._pass()
        assert reporter.report().policies[owner] == PolicyState(2, 0, 1, 1, (reporting.NOT_COMPUTED,))
        rig.translator.configure = good  # type: ignore[method-assign]
        rig.classes._dirty = True
        await rig.classes._pass()
        assert reporter.report().policies[owner] == PolicyState(2, 1, 1)

    asyncio.run(main())


def refuse(rig: Rig, member: Member, error: str, kind: Kind) -> None:
    """Take everything there is, and refuse what is of one type."""
    while (data := member.talk.next()) is not None:
        response = Response(data)
        rig.fleet.heard(member, answer(response, error if response.kind is kind else ""))


def test_who_has_left_stays_until_its_certificate_ends_or_it_comes_back() -> None:
    async def main() -> None:
        rig = Rig()
        reporter = Store().reporter(rig)
        one, two = await rig.connect("web-1"), await rig.connect("web-2")
        rig.fleet.closed(one)
        rig.fleet.closed(two)
        assert [(each.pod, each.connected) for each in reporter.report().proxies] == [
            ("web-1", False),
            ("web-2", False),
        ]
        await rig.connect("web-2")
        assert [(each.pod, each.connected) for each in reporter.report().proxies] == [
            ("web-1", False),
            ("web-2", True),
        ]
        rig.clock.seconds += 3600
        assert [each.pod for each in reporter.report().proxies] == ["web-2"]

    asyncio.run(main())


def test_a_process_that_starts_takes_over_what_was_said_under_its_name() -> None:
    async def main() -> None:
        rig = Rig()
        store = Store()
        before = store.reporter(rig)
        await rig.connect("web-1")
        await store.write(proxy_reports.encode(before.report(), "ringfence-system"))
        after = Rig()
        task = asyncio.create_task(store.reporter(after).run())
        await until(lambda: [(each.pod, each.connected) for each in store.report.proxies] == [("web-1", False)])
        task.cancel()
        assert store.report.written == NOW

    asyncio.run(main())


def test_it_is_written_when_something_changes_but_not_for_every_change() -> None:
    async def main() -> None:
        rig, store = Rig(), Store()
        reporter = store.reporter(rig)
        began = time.monotonic()

        def most() -> float:
            return 1 + (time.monotonic() - began) // reporting.LEAST_SECONDS

        task = asyncio.create_task(reporter.run())
        await until(lambda: store.writes == 1)
        for number in range(50):
            await rig.connect(f"web-{number}")
        await asyncio.sleep(0.1)
        assert store.writes <= most()
        store.away = True
        await asyncio.sleep(reporting.LEAST_SECONDS)
        store.away = False
        await until(lambda: len(store.report.proxies) == 50)
        assert store.writes <= most()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(main())
