"""Limits that become others, by what they come to and not by where they are written."""

from dataclasses import replace
from functools import cache

import pytest
from ringfence.model.labels import LabelBox, one_of
from ringfence.model.names import LABEL_ENROLL
from ringfence.model.resources import AppliesTo, Mode, SecurityPolicy, Traffic
from ringfence.model.tokens import Issuer, own_key
from ringfence.model.traffic import Bound, By, HeaderChanges, Limit, NamedRate, Rate
from ringfence.model.world import ContainerPort, Namespace, World
from ringfence.policy import resolve
from ringfence.policy.algebra.ports import Names
from ringfence.policy.reasoning import kinds
from ringfence.policy.reasoning.limited import Counted, Header, Limited, Whither, limited
from ringfence.policy.reasoning.naming import Naming
from ringfence.policy.reasoning.side import Side

from tests.unit.policy import making
from tests.unit.policy.making import allow, deny, policy
from tests.unit.policy.test_traffic import asking, entry

DB = AppliesTo(identities=("db",))
#: Everybody may call every port of the pods in shop.
OPEN = policy("open", ingress=(allow("any"),))
SLOW, FAST = Rate(60, 60, 60), Rate(9, 1, 9)
CALLER = Counted(By.CALLER)


def compared(old: World, new: World, *, audit: bool = False) -> tuple[tuple[Limited, ...], Naming]:
    effective = [cache(lambda name, world=world: resolve.resolve(world, name)) for world in (old, new)]
    known = [{n: found(n) for n in world.namespaces} for world, found in zip((old, new), effective, strict=True)]
    found = kinds.of((old, new), known)
    sides = [Side(world, each, found, audit) for world, each in zip((old, new), effective, strict=True)]
    return limited(*sides), Naming(sides[1])


def shop(*policies: SecurityPolicy, opened: SecurityPolicy = OPEN) -> World:
    return making.world(opened, *policies)


def told(old: World, new: World, *, audit: bool = False) -> list[tuple[object, ...]]:
    """What differs, from what to what, and whether it is looser, tighter and counts as wider."""
    found, _ = compared(old, new, audit=audit)
    return [(each.what, each.before, each.after, each.looser, each.tighter, each.wider) for each in found]


def of(*entries: Traffic, name: str = "t") -> World:
    return shop(asking(name, *entries, applies_to=DB))


def limits(*some: Limit) -> World:
    return of(entry(limits=some))


def test_a_limit_that_goes_is_wider_and_one_that_comes_is_not() -> None:
    with_, without = limits(Limit(By.CALLER, SLOW)), of(entry(bounds=((Bound.BODY, 9),)))
    both = of(entry(limits=(Limit(By.CALLER, SLOW),), bounds=((Bound.BODY, 9),)))
    assert told(both, without) == [(CALLER, (SLOW,), None, True, False, True)]
    assert told(without, both) == [(CALLER, None, (SLOW,), False, True, False)]
    assert told(both, with_) == [(Bound.BODY, 9, None, True, False, True)]
    assert told(with_, with_) == []


def test_where_a_limit_is_written_and_how_makes_no_difference() -> None:
    caller, body = Limit(By.CALLER, SLOW), ((Bound.BODY, 9),)
    old = of(entry(limits=(caller,), bounds=body))
    same = Limit(By.CALLER, Rate(1, 1, 60))
    apart = shop(asking("a", entry(bounds=body)), asking("b", entry("x", limits=(same,)), entry("y", limits=(caller,))))
    db = replace(making.pod("db"), ports=())
    both = [replace(world, workloads={**world.workloads, "shop": (db,)}) for world in (old, apart)]
    found, naming = compared(*both)
    # Only those that the second one governs beside db.
    assert {name for each in found for name in naming.names(each.pods)}.isdisjoint({"shop/db"})
    assert found


def test_what_all_may_not_exceed_none_of_them_may() -> None:
    each, everyone = Limit(By.CALLER, SLOW), Limit(By.ALL, SLOW)
    assert told(limits(each), limits(everyone)) == [(Counted(By.ALL), None, (SLOW,), False, True, False)]
    assert told(limits(everyone), limits(each)) == [(Counted(By.ALL), (SLOW,), None, True, False, True)]
    looser = limits(Limit(By.ALL, FAST))
    assert {row[0] for row in told(limits(each), looser)} == {CALLER, Counted(By.ALL)}


def test_a_rate_can_be_looser_and_tighter_at_once() -> None:
    old, new = limits(Limit(By.ALL, Rate(60, 60, 90))), limits(Limit(By.ALL, Rate(80, 60, 80)))
    ((_, _, _, looser, tighter, wider),) = told(old, new)
    assert (looser, tighter, wider) == (True, True, True)
    # Of two that hold, what follows from the other one says nothing.
    both = limits(Limit(By.ALL, Rate(80, 60, 90)), Limit(By.ALL, Rate(60, 60, 90)))
    assert told(old, both) == told(both, old) == []


def test_callers_with_rates_of_their_own_are_told_apart() -> None:
    old = limits(Limit(By.CALLER, SLOW, named=(NamedRate("shop", "web", FAST),)))
    web = Counted(By.CALLER, "shop/web")
    assert told(old, limits(Limit(By.CALLER, SLOW))) == [(web, (FAST,), (SLOW,), True, True, True)]
    others = Counted(By.CALLER, others=True)
    wanted = [(others, (SLOW,), (FAST,), True, True, True)]
    assert told(old, limits(Limit(By.CALLER, FAST))) == wanted


@pytest.mark.parametrize("bound", [Bound.REQUEST, Bound.IDLE, Bound.STREAM])
def test_a_longer_time_is_told_and_is_not_wider(bound: Bound) -> None:
    short, long = (of(entry(bounds=((bound, most), (Bound.BODY, 1)))) for most in (5, 6))
    assert told(short, long) == [(bound, 5, 6, True, False, False)]


def test_what_the_proxy_bounds_by_itself_is_no_difference() -> None:
    bounds = ((Bound.HEADERS_SIZE, 96 << 10), (Bound.HEADERS_COUNT, 100), (Bound.BODY, 1))
    assert told(of(entry(bounds=bounds)), of(entry(bounds=bounds[2:]))) == []
    less = of(entry(bounds=((Bound.HEADERS_SIZE, 32 << 10), (Bound.BODY, 1))))
    assert told(less, of(entry(bounds=bounds))) == [(Bound.HEADERS_SIZE, 32 << 10, 96 << 10, True, False, True)]
    # Counted in whole KiB.
    assert told(less, of(entry(bounds=((Bound.HEADERS_SIZE, (32 << 10) + 9), (Bound.BODY, 1))))) == []


def test_a_header_that_is_left_in_is_wider_another_value_is_not() -> None:
    removing, setting, other = (
        of(entry(to_program=changes, bounds=((Bound.BODY, 1),)))
        for changes in (
            HeaderChanges(remove=("x-debug",)),
            HeaderChanges(set=(("x-debug", "no"),)),
            HeaderChanges(set=(("x-debug", "yes"),)),
        )
    )
    header = Header(Whither.PROGRAM, "x-debug")
    none = of(entry(bounds=((Bound.BODY, 1),)))
    assert told(removing, none) == [(header, "", None, True, False, True)]
    assert told(none, setting) == [(header, None, "no", False, True, False)]
    assert told(removing, setting) == [(header, "", "no", False, False, False)]
    assert told(setting, other) == [(header, "no", "yes", False, False, False)]
    spelled = of(entry(to_program=HeaderChanges(remove=("x_debug",)), bounds=((Bound.BODY, 1),)))
    assert told(removing, spelled) == []


def test_a_limit_by_tokens_of_nobodys_issuer_is_one_of_all() -> None:
    claim = Limit(By.CLAIM, SLOW, issuer=own_key("shop", "t", "corp"), claim="sub")
    assert told(limits(claim), limits(Limit(By.ALL, SLOW))) == []
    issuer = Issuer("corp", "https://corp", ("a",), "{}")

    def declaring(name: str, issuer: Issuer) -> World:
        own = asking(name, entry(limits=(replace(claim, issuer=own_key("shop", name, issuer.name)),)), applies_to=DB)
        return shop(replace(own, spec=replace(own.spec, issuers=(issuer,))))

    # What an issuer is counts, not what policies call it.
    renamed = declaring("u", replace(issuer, name="other"))
    assert told(declaring("t", issuer), renamed) == []
    found = told(declaring("t", issuer), declaring("t", replace(issuer, audiences=("b",))))
    assert [(row[3], row[4]) for row in found] == [(True, False), (False, True)]


def test_only_what_both_sides_let_in_counts() -> None:
    old, new = (asking("t", entry(bounds=((Bound.BODY, most),)), applies_to=DB) for most in (1, 2))
    one = policy("open", ingress=(allow("some", ports=(8080, "http")),))
    found, naming = compared(shop(old, opened=one), shop(new, opened=one))
    assert [each.ports.told(naming.side.kinds.named.ports) for each in found] == [("TCP 8080", "TCP http")]
    denied = policy("closed", ingress=(deny("all"),))
    assert told(shop(old, denied), shop(new)) == told(shop(old), shop(new, denied)) == []
    # Nobody is closed in an audited namespace.
    audited = Namespace.of("shop", {LABEL_ENROLL: "audit"})
    worlds = [replace(each, namespaces={**each.namespaces, "shop": audited}) for each in (shop(old), shop(new))]
    assert told(*worlds) == []
    assert told(*worlds, audit=True) == [(Bound.BODY, 1, 2, True, False, True)]


def test_mode_audit_counts_only_if_asked() -> None:
    old, new = (shop(asking("t", entry(bounds=((Bound.BODY, n),)), mode=Mode.AUDIT, applies_to=DB)) for n in (1, 2))
    assert told(old, new) == []
    assert told(old, new, audit=True) == [(Bound.BODY, 1, 2, True, False, True)]


def test_ports_and_pods_are_told_exactly() -> None:
    names = (ContainerPort("http", 8080),)
    pods = tuple(
        replace(making.pod("db", ip=f"10.244.0.{place}", tier=tier), name=f"db-{tier}", ports=names)
        for place, tier in enumerate(("front", "back"), 1)
    )
    front = AppliesTo(pod_selector=LabelBox.of({"tier": one_of("front")}))

    def with_(most: int) -> World:
        own = asking("t", entry("n", "http", bounds=((Bound.BODY, most),)), applies_to=front)
        return making.world(OPEN, own, pods=pods)

    found, naming = compared(with_(1), with_(2))
    where = {(naming.names(each.pods), each.ports.told(naming.side.kinds.named.ports)) for each in found}
    known = {named for each in found for number in each.pods if (named := naming.side.kinds.all[number].names)}
    assert Names(tuple((p.protocol, p.name, p.port) for p in names)) in known
    assert all("tier=front" in text for pods_, _ in where for text in pods_)
    assert ("TCP 8080",) in {ports for _, ports in where}
