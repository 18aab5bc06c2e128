"""What the traffic of several policies comes to on a port."""

from dataclasses import replace

from ringfence.model.names import LABEL_IDENTITY
from ringfence.model.resources import (
    AppliesTo,
    ClusterSecurityPolicy,
    Mode,
    PolicySpec,
    PortSpec,
    SecurityPolicy,
    Traffic,
)
from ringfence.model.tokens import Issuer, cluster_key, own_key
from ringfence.model.traffic import Asks, Bound, By, HeaderChanges, Limit, NamedRate, Rate
from ringfence.model.world import Namespace, World
from ringfence.policy import traffic
from ringfence.policy.resolve import resolve
from ringfence.policy.traffic import Held

from tests.unit.policy import making
from tests.unit.policy.making import findings, floor, policy

SLOW, FAST = Rate(1, 60, 1), Rate(9, 1, 9)
PROXIES = replace(making.INSTALLATION, proxies=True)


def asking(
    name: str, *entries: Traffic, mode: Mode = Mode.ENFORCE, applies_to: AppliesTo | None = None
) -> SecurityPolicy:
    found = policy(name, mode=mode, applies_to=applies_to)
    return replace(found, spec=replace(found.spec, traffic=entries))


def ceiling(name: str, *entries: Traffic) -> ClusterSecurityPolicy:
    return replace(floor(name), spec=PolicySpec(traffic=entries))


def entry(name: str = "t", *ports: int | str, **asks: object) -> Traffic:
    return Traffic(name, tuple(map(PortSpec, ports)) or None, Asks(**asks))  # type: ignore[arg-type]


def world(*policies: SecurityPolicy, floors: tuple[ClusterSecurityPolicy, ...] = ()) -> World:
    return making.world(*policies, floors=floors, installation=PROXIES)


def held(known: World, port: int = 8080, *names: str, account: str = "db", namespace: str = "shop") -> Held:
    return traffic.on_port(resolve(known, namespace), {LABEL_IDENTITY: account}, port, names)


def test_every_limit_holds_and_a_caller_is_asked_by_its_own_first() -> None:
    all_, each, tenant = Limit(By.ALL, FAST), Limit(By.CALLER, SLOW), Limit(By.HEADER, SLOW, "x-tenant")
    person = Limit(By.CLAIM, SLOW, issuer=cluster_key("corp"), claim="sub")
    known = world(asking("a", entry("all", limits=(all_, person))), asking("b", entry("each", limits=(each, tenant))))
    found = held(known)
    asked = [(ref.policy, limit) for ref, limit in found.limits]
    assert asked == [("b", each), ("a", person), ("b", tenant), ("a", all_)]
    assert found.issuers == {cluster_key("corp")}
    assert found.audited == ()


def test_the_smallest_bound_holds_whoever_asks_for_it() -> None:
    loose, tight = entry(bounds=((Bound.BODY, 100), (Bound.IDLE, 5))), entry(bounds=((Bound.BODY, 10),))
    for known in (
        world(asking("a", loose), floors=(ceiling("f", tight),)),
        world(asking("a", tight), asking("b", loose)),
    ):
        found = held(known)
        assert [(bound, value) for bound, value, _ in found.bounds] in (
            [(Bound.BODY, 10), (Bound.IDLE, 5)],
            [(Bound.BODY, 10)],
        )
        size = found.bound(Bound.BODY)
        assert size is not None
        assert size[0] == 10


def test_ports_and_pods_are_told_apart() -> None:
    limit = (Limit(By.ALL, SLOW),)
    known = world(
        asking("a", entry("number", 8080, limits=limit), entry("name", "http", limits=limit)),
        asking("b", entry("other", limits=limit), applies_to=AppliesTo(identities=("web",))),
    )
    assert [ref.rule for ref, _ in held(known).limits] == ["number"]
    assert [ref.rule for ref, _ in held(known, 80, "http").limits] == ["name"]
    assert [ref.rule for ref, _ in held(known, 9, account="web").limits] == ["other"]
    assert held(known, 9) == traffic.NOTHING
    assert held(known, namespace="bank") == traffic.NOTHING


def test_audit_only_counts_and_only_what_would_be_tighter() -> None:
    limit = Limit(By.ALL, SLOW)
    bounds = ((Bound.BODY, 100), (Bound.IDLE, 5))
    changed = HeaderChanges(remove=("server",))
    known = world(
        asking("a", entry(bounds=((Bound.BODY, 50), (Bound.IDLE, 9)))),
        asking("b", entry(limits=(limit,), bounds=bounds, to_caller=changed), mode=Mode.AUDIT),
    )
    found = held(known)
    assert (found.limits, [limit for _, limit in found.audited]) == ((), [limit])
    assert [(bound, value) for bound, value, _ in found.would] == [(Bound.IDLE, 5)]
    assert found.to_caller == HeaderChanges()


def test_where_nothing_is_closed_nothing_is_enforced() -> None:
    limit = Limit(By.ALL, SLOW)
    known = world(asking("a", entry(limits=(limit,), bounds=((Bound.BODY, 1),))))
    open_ = replace(
        known, namespaces={**known.namespaces, "shop": Namespace.of("shop", {"ringfence.dev/enroll": "audit"})}
    )
    found = held(open_)
    assert (found.limits, found.bounds) == ((), ())
    assert [asked for _, asked in found.audited] == [limit]


def test_a_floor_decides_about_a_header_first_then_names() -> None:
    one = HeaderChanges(set=(("a", "floor"),), remove=("b",))
    two = HeaderChanges(set=(("a", "own"), ("b", "own"), ("c", "first")))
    three = HeaderChanges(remove=("a", "c", "d"))
    known = world(
        asking("n", entry(to_program=two)),
        asking("m", entry(to_program=three)),
        floors=(ceiling("z", entry(to_program=one)),),
    )
    # m comes before n.
    assert held(known).to_program == HeaderChanges(set=(("a", "floor"),), remove=("b", "c", "d"))


def test_callers_are_named_by_their_accounts_and_the_missing_are_told() -> None:
    named = (NamedRate("shop", "two", FAST), NamedRate("shop", "web", SLOW), NamedRate("shop", "ghost", FAST))
    own = asking("a", entry(limits=(Limit(By.CALLER, SLOW, named=named),)))
    known = making.world(own, identities=(making.identity("shop", "two", "web"),), installation=PROXIES)
    ((_, limit),) = held(known).limits
    # Two identities of one account: the lower rate.
    assert limit.named == (NamedRate("shop", "web", SLOW),)
    (finding,) = findings(known, "UnknownIdentity")
    assert "rule t gives a rate to ServiceIdentity shop/ghost" in finding.message


def test_a_claim_of_nobodys_issuer_is_told_and_the_platform_declares_for_all() -> None:
    own = asking("a", entry(limits=(Limit(By.CLAIM, SLOW, issuer=cluster_key("corp"), claim="sub"),)))
    (finding,) = findings(world(own), "UnknownIssuer")
    told = "rule t counts all requests together: no policy that holds here declares the issuer corp"
    assert told in finding.message
    declaring = replace(floor("z"), spec=PolicySpec(issuers=(Issuer("corp", "https://corp", ("a",), "{}"),)))
    assert findings(world(own, floors=(declaring,)), "UnknownIssuer") == []


def test_a_limit_by_a_claim_is_named_by_what_logs_can_hold() -> None:
    key = own_key("shop", "p", "corp")
    assert Limit(By.CLAIM, SLOW, issuer=key, claim="sub").word == "claim.corp.sub"
    odd = Limit(By.CLAIM, SLOW, issuer=key, claim="https://x.example/a%b,c")
    assert odd.word == "claim.corp.https___x_example_a_b_c"


def test_without_proxies_nobody_counts_and_that_is_said() -> None:
    own = asking("a", entry(limits=(Limit(By.ALL, SLOW),)))
    (finding,) = findings(making.world(own), "NoProxies")
    assert finding.subject == ("SecurityPolicy", "shop", "a")
    assert findings(world(own), "NoProxies") == []
    pods = (making.pod("db"), replace(making.pod("web"), proxied=True))
    (finding,) = findings(making.world(own, installation=PROXIES, pods=pods), "NoProxies")
    assert "have no proxy: db; restart" in finding.message


def test_bytes_have_connections_only() -> None:
    known = world(asking("a", entry(limits=(Limit(By.ALL, SLOW),), bounds=((Bound.CONNECTIONS, 3), (Bound.BODY, 1)))))
    found = held(known).of_bytes()
    assert [(bound, value) for bound, value, _ in found.bounds] == [(Bound.CONNECTIONS, 3)]
    assert found.limits == ()
