"""The proxies that are connected: who gets which certificate when, and who is ended."""

import asyncio
import time
from collections.abc import Hashable

import pytest
from ringfence.model.ca import RotationReason
from ringfence.model.ports import Object
from ringfence.model.resources import Certificate
from ringfence.pki import slots, store
from ringfence.proxyd import classes as classes_
from ringfence.proxyd import fleet as fleets
from ringfence.proxyd.authentication import Refused
from ringfence.proxyd.fleet import Member
from ringfence.proxyd.server import Ended
from ringfence.proxyd.wire import Kind

from tests.unit.pki import test_identity_secret as secrets
from tests.unit.pki.material import NOW, TRUST_DOMAIN
from tests.unit.proxyd.fleet_rig import OWN, Rig, until


def test_a_new_proxy_gets_a_certificate_at_once_and_its_configuration_when_it_is_computed() -> None:
    async def main() -> None:
        rig = Rig()
        member = await rig.connect("web-1")
        (secret,) = rig.talk(member)
        assert set(secret.versions) == {"identity", "bundle"}
        assert member.svid is not None
        assert member.svid.spiffe_id == f"spiffe://{TRUST_DOMAIN}/ns/shop/sa/web"
        assert member.certified
        assert member.svid.not_after == NOW + 3600
        await rig.classes._pass()
        assert {each.kind for each in rig.talk(member)} == {Kind.CLUSTERS, Kind.LISTENERS}
        assert member.acknowledged == "r1 ('shop', None)"

    asyncio.run(main())


def test_proxies_that_are_alike_cost_one_computation_and_share_its_bytes() -> None:
    async def main() -> None:
        rig = Rig()
        members = [await rig.connect(f"web-{number}") for number in range(5)]
        await rig.classes._pass()
        assert rig.translator.computed == [("shop", None)]
        assert len({id(each.talk.offer) for each in members}) == 1
        rig.translator.revision = "r2"
        rig.classes.changed("shop")
        await rig.classes._pass()
        assert {each.talk.offer.revision for each in members if each.talk.offer} == {"r2 ('shop', None)"}

    asyncio.run(main())


def test_another_label_makes_another_class() -> None:
    async def main() -> None:
        rig = Rig()
        member = await rig.connect("web-1")
        await rig.classes._pass()
        rig.pod("web-1", tier="gold")
        rig.classes.changed("shop")
        await rig.classes._pass()
        assert member.subject == ("shop", "gold")
        assert member.talk.offer is not None
        assert member.talk.offer.revision == "r1 ('shop', 'gold')"
        assert len(rig.classes) == 1

    asyncio.run(main())


def test_a_class_that_cannot_be_computed_keeps_what_it_has_and_stops_no_other() -> None:
    async def main() -> None:
        rig = Rig()
        plain, gold = await rig.connect("web-1"), await rig.connect("web-2", tier="gold")
        await rig.classes._pass()
        rig.translator.revision, rig.translator.broken = "r2", {("shop", None)}
        rig.classes.changed("")
        await rig.classes._pass()
        revisions = [each.talk.offer.revision for each in (plain, gold) if each.talk.offer]
        assert revisions == ["r1 ('shop', None)", "r2 ('shop', 'gold')"]

    asyncio.run(main())


def test_a_pod_or_a_cluster_that_cannot_be_understood_ends_nobodys_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classes_, "QUIET_SECONDS", 0.05)

    async def main() -> None:
        rig = Rig()
        good, odd = await rig.connect("web-1"), await rig.connect("web-2")
        task = asyncio.create_task(rig.classes.run())
        await asyncio.sleep(0.1)
        subject, snapshot = rig.translator.subject, rig.translator.snapshot

        def choosy(pod: Object) -> Hashable:
            if pod["metadata"]["name"] == "web-2":
                raise KeyError("odd")
            return subject(pod)

        rig.translator.subject, rig.translator.revision = choosy, "r2"  # type: ignore[method-assign]
        rig.classes.changed("")

        def offered() -> set[str]:
            return {each.talk.offer.revision for each in (good, odd) if each.talk.offer}

        await until(lambda: offered() == {"r2 ('shop', None)"})
        with pytest.raises(Refused, match="CannotTell"):
            await rig.connect("web-2")

        asked = []

        def broken() -> object:
            asked.append(1)
            raise KeyError("odd")

        rig.translator.snapshot = broken  # type: ignore[method-assign]
        rig.classes.changed("")
        await until(lambda: bool(asked))
        rig.translator.snapshot, rig.translator.revision = snapshot, "r3"  # type: ignore[method-assign]
        await until(lambda: good.talk.offer is not None and good.talk.offer.revision == "r3 ('shop', None)")
        assert not task.done()
        task.cancel()

    asyncio.run(main())


def test_certificates_are_renewed_when_they_are_due_and_not_before() -> None:
    async def main() -> None:
        rig = Rig()
        member = await rig.connect("web-1")
        rig.talk(member)
        first = member.svid
        assert first is not None
        assert NOW + 3600 * 0.44 < first.renewal_time < NOW + 3600 * 0.56
        rig.clock.seconds = first.renewal_time - 1
        await rig.fleet.renew()
        assert member.svid is first
        rig.clock.seconds = first.renewal_time
        await rig.fleet.renew()
        assert member.svid is not first
        assert [set(each.versions) for each in rig.talk(member)] == [{"identity"}]

    asyncio.run(main())


def test_a_changed_identity_is_certified_anew_and_what_is_about_secrets_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fleets, "_ANEW_SECONDS", 0.0)

    async def main() -> None:
        rig = Rig()
        member = await rig.connect("web-1")
        rig.talk(member)
        first = member.svid
        for wishes, again in (
            (Certificate(ttl=3600, renew_at=0.5, secret_name="web"), False),
            (Certificate(ttl=600, renew_at=0.5), True),
            (Certificate(ttl=600, renew_at=0.25), True),
        ):
            rig.wishes = wishes
            await rig.fleet.renew()
            assert member.svid is first, "nobody has said that the identity is different"
            rig.fleet.identities_changed("other")
            await rig.fleet.renew()
            assert member.svid is first, "another namespace's"
            rig.fleet.identities_changed("shop")
            await rig.fleet.renew()
            assert (member.svid is not first) is again
            assert [set(each.versions) for each in rig.talk(member)] == ([{"identity"}] if again else [])
            first = member.svid
        assert first is not None
        assert first.not_after == NOW + 600

    asyncio.run(main())


def test_who_changes_an_identity_all_the_time_gets_the_last_wish_after_a_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fleets, "_ANEW_SECONDS", 1.5)

    async def main() -> None:
        rig = Rig()
        member = await rig.connect("web-1")
        first = member.svid
        for ttl in (1200, 900, 600):
            rig.wishes = Certificate(ttl=ttl, renew_at=0.5)
            rig.fleet.identities_changed("shop")
            await rig.fleet.renew()
            assert member.svid is first
        await asyncio.sleep(1.6)
        await rig.fleet.renew()
        assert member.svid is not None
        assert member.svid.not_after == NOW + 600

    asyncio.run(main())


def test_a_wish_is_not_forgotten_while_nothing_can_be_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleets, "_ANEW_SECONDS", 0.0)
    monkeypatch.setattr(fleets, "_RETRY_SECONDS", 0.0)

    async def main() -> None:
        rig = Rig()
        member = await rig.connect("web-1")
        rig.wishes = Certificate(ttl=600, renew_at=0.5)
        rig.fleet.identities_changed("shop")
        held, rig.authority._signer = rig.authority._signer, None
        await rig.fleet.renew()
        assert member.svid is not None
        assert member.svid.not_after == NOW + 3600
        rig.authority._signer = held
        await rig.fleet.renew()
        assert member.svid.not_after == NOW + 600

    asyncio.run(main())


@pytest.mark.parametrize("hurry", [False, True])
def test_a_new_root_re_issues_bit_by_bit_or_at_once_after_a_compromise(hurry: bool) -> None:
    async def main() -> None:
        rig = Rig()
        members = [await rig.connect(f"web-{number}") for number in range(20)]
        for each in members:
            rig.talk(each)
        prepared = slots.prepare(secrets.IDLE, secrets.root(2), NOW, RotationReason.REQUESTED)
        rig.rotate(prepared)
        for each in members:
            assert [set(one.versions) for one in rig.talk(each)] == [{"bundle"}]
        rig.rotate(slots.activate(prepared, NOW + 60, NOW + 7200))
        rig.hurry = hurry
        rig.clock.seconds += 500
        await rig.fleet.renew()
        new = prepared.next.root.fingerprint if prepared.next else ""
        moved = sum(each.svid is not None and each.svid.root == new for each in members)
        assert moved == 20 if hurry else 3 < moved < 17
        rig.clock.seconds += 500
        await rig.fleet.renew()
        assert all(each.svid is not None and each.svid.root == new for each in members)

    asyncio.run(main())


def test_with_a_ca_that_cannot_be_used_nothing_is_signed_and_what_is_there_stays() -> None:
    async def main() -> None:
        rig = Rig()
        member = await rig.connect("web-1")
        rig.talk(member)
        first = member.svid
        del rig.cluster.objects["Secret", OWN, store.SECRET_NAME]
        rig.authority.refresh()
        rig.fleet.authority_changed()
        assert "gone" in rig.authority.problem
        rig.clock.seconds += 3000
        await rig.fleet.renew()
        assert member.svid is first
        late = await rig.connect("web-2")
        assert late.svid is None
        # The last good bundle is still given: it trusts whom all trust.
        assert [set(each.versions) for each in rig.talk(late)] == [{"bundle"}]
        rig.rotate(secrets.IDLE)
        await rig.fleet.renew()
        assert late.svid is not None

    asyncio.run(main())


async def _why(member: Member) -> str:
    try:
        for _ in range(2):
            await member.woken(0.01)
    except (Refused, Ended) as error:
        return str(error)
    raise AssertionError("the stream goes on")


def test_who_is_not_what_it_was_is_ended() -> None:
    async def main() -> None:
        rig = Rig()
        member, other = await rig.connect("web-1"), await rig.connect("web-2")
        del rig.cluster.objects["Pod", "shop", "web-1"]
        rig.fleet.pod_changed("shop", "web-1")
        assert "PodUnknown" in await _why(member)
        rig.fleet.closed(member)
        rig.fleet.closed(member)
        assert len(rig.fleet) == 1
        rig.enrolled = False
        rig.fleet.namespace_changed("shop")
        assert "NamespaceNotEnrolled" in await _why(other)

    asyncio.run(main())


def test_there_is_room_for_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleets, "MAX_STREAMS", 4)

    async def main() -> None:
        rig = Rig()
        streams = [await rig.connect("web-1") for _ in range(3)]
        assert "newer streams" in await _why(streams[0])
        rig.fleet.closed(streams[0])
        await rig.connect("web-2")
        await rig.connect("web-3")
        with pytest.raises(Refused, match="TooMany"):
            await rig.connect("web-4")

    asyncio.run(main())


def test_the_first_change_is_computed_at_once_and_a_storm_by_the_clock() -> None:
    async def main() -> None:
        rig = Rig()
        await rig.connect("web-1")
        task = asyncio.create_task(rig.classes.run())
        await asyncio.sleep(0.05)
        before, began = len(rig.translator.computed), time.monotonic()
        for number in range(200):
            rig.translator.revision = f"s{number}"
            rig.classes.changed("shop")
            await asyncio.sleep(0.002)
        (member,) = rig.fleet
        await until(lambda: member.talk.offer is not None and member.talk.offer.revision.startswith("s199"))
        task.cancel()
        passes = len(rig.translator.computed) - before
        assert 3 < passes < 10 + (time.monotonic() - began) / classes_.LONGEST_PAUSE

    asyncio.run(main())
