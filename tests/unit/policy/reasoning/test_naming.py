"""Sets of ends in words: no name says more than is meant."""

from ringfence.model.resources import CidrPeer
from ringfence.model.world import Installation, World
from ringfence.policy.algebra.values import Members
from ringfence.policy.reasoning import kinds
from ringfence.policy.reasoning.kinds import Focus
from ringfence.policy.reasoning.naming import Naming
from ringfence.policy.reasoning.side import Side

from tests.unit.policy import making

#: Identities that rules tell apart.
APART = Focus(apart=frozenset((namespace, name) for namespace in ("shop", "bank") for name in ("api", "web", "db")))


def naming(world: World, focus: Focus = APART) -> Naming:
    effective = making.effective(world)
    names = [name for name in world.namespaces if focus.among is None or name in focus.among]
    found = kinds.of([world], [{name: effective(name) for name in names}], focus)
    return Naming(Side(world, effective, found))


def members(some: Naming, *wanted: tuple[str, str]) -> Members:
    """The kinds of these identities."""
    everyone = enumerate(some.side.kinds.all)
    return Members.of(number for number, kind in everyone if (kind.namespace, kind.account) in wanted)


def namespace(some: Naming, *names: str) -> Members:
    return Members.of(number for name in names for number in some.side.kinds.by_namespace[name])


def addresses(some: Naming) -> Members:
    return Members.of(range(some.side.kinds.first_address, len(some.side.kinds.all)))


def by_rule(some: Naming) -> Members:
    """Whom the rule of WORLD names."""
    return next(Members(some.side.named(r.peers)) for r in some.side.effective("shop").rules if r.ref.rule == "a")


WORLD = making.world(making.policy(ingress=(making.allow("a", CidrPeer("203.0.113.0/24")),)))


def test_identities_are_named_one_by_one_until_all_are_meant() -> None:
    some = naming(WORLD)
    assert some.names(members(some, ("shop", "web"))) == ("shop/web",)
    assert some.names(members(some, ("shop", "web"), ("bank", "db"))) == ("bank/db", "shop/web")
    known = members(some, *(("shop", name) for name in ("api", "web", "db")))
    assert some.names(known) == ("shop/api", "shop/db", "shop/web")
    assert some.names(namespace(some, "shop")) == ("zone a",)
    assert some.names(namespace(some, "shop", "bank")) == ("every identity",)
    rest = namespace(some, "shop") - known
    assert some.names(rest) == ("any other identity of namespace shop",)


def test_most_are_named_by_those_who_are_not_meant() -> None:
    some = naming(WORLD)
    everyone = Members(some.side.there)
    assert some.names(everyone) == ("everyone",)
    assert some.names(everyone - members(some, ("shop", "web"))) == ("everyone but shop/web",)
    assert some.names(namespace(some, "shop", "bank") - members(some, ("bank", "db"))) == (
        "every identity but bank/db",
    )


def test_addresses_are_told_as_networks_or_as_all_but_these() -> None:
    some = naming(WORLD)
    everywhere = addresses(some)
    assert some.names(everywhere) == ("every address that is no pod's",)
    named = by_rule(some)
    assert some.names(named) == ("203.0.113.0/24",)
    assert some.names(everywhere - named) == ("every address but 203.0.113.0/24",)


def test_pods_are_told_apart_by_address_where_rules_may_mean_pods() -> None:
    installation = Installation(open_services=())
    some = naming(making.world(*WORLD.policies["shop"], installation=installation))
    named = by_rule(some)
    assert some.names(named) == ("every pod with an address in 203.0.113.0/24", "203.0.113.0/24")
    one = named & members(some, ("shop", "web"))
    assert some.names(one) == ("shop/web (with an address in 203.0.113.0/24)",)
    assert some.names(named & namespace(some, "bank")) == (
        "every pod of namespace bank with an address in 203.0.113.0/24",
    )
    other = members(some, ("shop", "web")) - one
    assert some.names(other) == ("shop/web (with any other address)",)


def test_nobody_has_no_name() -> None:
    assert naming(WORLD).names(Members()) == ()


def test_those_who_share_a_kind_are_named_one_by_one() -> None:
    rule = making.allow("a", making.caller("web"))
    some = naming(making.world(making.policy(ingress=(rule,))), kinds.WHOLE)
    web, others = (members(some, ("shop", name)) for name in ("web", "api"))
    assert len(list(others)) == 1
    assert some.names(others) == ("shop/api", "shop/db")
    assert some.names(namespace(some, "shop") - others) == ("shop/web", "any other identity of namespace shop")
    assert some.names(web | members(some, ("bank", "api"))) == ("bank/api", "bank/db", "bank/web", "shop/web")
    identities = namespace(some, "shop", "bank")
    assert some.names(identities - web) == ("every identity but shop/web",)
    # Two of eight are not that few, although they are one kind of five.
    assert some.names(identities - others) == ("zone b", "shop/web", "any other identity of namespace shop")


def test_names_of_all_are_for_those_who_are_all() -> None:
    shop = naming(WORLD, Focus(among=frozenset({"shop"})))
    assert shop.names(namespace(shop, "shop")) == ("zone a",)
    assert shop.names(Members(shop.side.there)) == ("every address that is no pod's", "zone a")
    both = naming(WORLD, Focus(among=frozenset({"shop", "bank"})))
    assert both.names(namespace(both, "shop", "bank")) == ("every identity",)


def test_what_rules_without_a_say_name_is_not_known() -> None:
    some, asked = naming(WORLD, kinds.WHOLE), naming(WORLD)
    assert some.names(namespace(some, kinds.OTHER)) == ("namespaces that nothing names",)
    assert asked.names(namespace(asked, kinds.OTHER)) == ("any other namespace",)
