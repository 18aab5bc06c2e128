"""Random worlds: small enough that rules meet, and with every kind of peer, port, mode and floor.

Strategies are made once, as constants or by functions that keep them: Hypothesis looks each new one through before it
draws from it, which takes longer than all else about a world.
"""

from dataclasses import dataclass, replace
from functools import cache

from hypothesis import strategies as st
from ringfence.model import labels
from ringfence.model.labels import LabelBox
from ringfence.model.names import LABEL_ENROLL, LABEL_IDENTITY, LABEL_ZONE
from ringfence.model.requests import Asks, HeaderCondition, HttpMatch, QueryCondition, Requests, TimeCondition
from ringfence.model.resources import (
    MTLS,
    Action,
    AnonymousPeer,
    ApiServerPeer,
    AppliesTo,
    CidrPeer,
    ClusterSecurityPolicy,
    HostPeer,
    IdentityPeer,
    Mode,
    NamespacePeer,
    Peer,
    PolicySpec,
    PortSpec,
    Protocol,
    ResourceMeta,
    Rule,
    SecurityPolicy,
    ServiceIdentity,
    SpiffePeer,
    Traffic,
    Transport,
    ZonePeer,
)
from ringfence.model.tokens import Issuer, TokenMatch, cluster_key
from ringfence.model.traffic import Asks as TrafficAsks
from ringfence.model.traffic import Bound, By, HeaderChanges, Limit, NamedRate, Rate
from ringfence.model.windows import Window
from ringfence.model.world import ContainerPort, Namespace, Workload, World

from tests.property.world_installations import API_SERVER, NODE, installations

NAMESPACES = ("bank", "shop")
ELSEWHERE = ("lab", "legacy", "kube-system")
IDENTITIES = ("api", "web")
ZONES = ("a", "b")
APPS = ("blue", "green")
OUTSIDE = ("203.0.113.9", "198.51.100.1", "2001:db8::5", NODE, API_SERVER)
CIDRS = (
    CidrPeer("0.0.0.0/0"),
    CidrPeer("0.0.0.0/0", ("203.0.113.9/32", "10.244.0.0/24")),
    CidrPeer("10.0.0.0/8"),
    CidrPeer("10.244.0.0/24", ("10.244.0.0/30",)),
    CidrPeer("203.0.113.0/24"),
    CidrPeer("192.168.0.0/16", (f"{NODE}/32",)),
    CidrPeer("2001:db8::/32"),
    CidrPeer("::/0"),
)
PORTS = (
    (Protocol.TCP, 80),
    (Protocol.TCP, 8080),
    (Protocol.TCP, 9090),
    (Protocol.UDP, 53),
    (Protocol.TCP, 53),
    (Protocol.SCTP, 80),
)


@cache
def identity_names() -> st.SearchStrategy[tuple[str, str]]:
    """(namespace, identity); the last of each does not exist."""
    return st.tuples(st.sampled_from((*NAMESPACES, "lab", "nowhere")), st.sampled_from((*IDENTITIES, "ghost")))


@cache
def peers() -> st.SearchStrategy[Peer]:
    """Every kind of peer but anonymous."""
    kinds: list[st.SearchStrategy[Peer]] = [
        st.builds(lambda both: IdentityPeer(*both), identity_names()),
        st.builds(lambda both: SpiffePeer(f"spiffe://cluster.local/ns/{both[0]}/sa/{both[1]}"), identity_names()),
        st.builds(ZonePeer, st.sampled_from((*ZONES, "nowhere"))),
        st.builds(NamespacePeer, st.sampled_from((*NAMESPACES, *ELSEWHERE))),
        st.sampled_from(CIDRS),
        st.just(ApiServerPeer()),
    ]
    return st.one_of(kinds)


@cache
def ports() -> st.SearchStrategy[tuple[PortSpec, ...] | None]:
    """All ports, or some by number, range or name."""
    one = st.one_of(
        st.builds(PortSpec, st.sampled_from((53, 80, 8080, 9090)), st.none(), st.sampled_from(list(Protocol))),
        st.sampled_from((PortSpec(1, 100), PortSpec(80, 9000), PortSpec(1, 65535), PortSpec(1, 65535, Protocol.UDP))),
        st.builds(PortSpec, st.sampled_from(("http", "metrics"))),
    )
    return st.one_of(st.none(), st.lists(one, min_size=1, max_size=2, unique=True).map(tuple))


@dataclass(frozen=True)
class Pool:
    """The few peers and ports that all rules of a world draw from, so that Allows and Denies meet."""

    peers: tuple[Peer, ...]
    ports: tuple[tuple[PortSpec, ...] | None, ...]


_ANONYMOUS = st.sampled_from(((), (AnonymousPeer(),)))
_SOME_PEERS = st.lists(peers(), min_size=2, max_size=4, unique=True)
_SOME_PORTS = st.lists(ports(), min_size=1, max_size=2)


@cache
@st.composite
def pools(draw: st.DrawFn) -> Pool:
    """Two to five peers (anonymous in every other world), two or three sets of ports, all ports among them."""
    return Pool(peers=(*draw(_ANONYMOUS), *draw(_SOME_PEERS)), ports=(None, *draw(_SOME_PORTS)))


@cache
def _one_of(count: int) -> st.SearchStrategy[int]:
    """The place of one of so many."""
    return st.sampled_from(range(count))


@cache
def _some_of(count: int) -> st.SearchStrategy[tuple[int, ...] | None]:
    """The places of one or two of so many, none twice; in one of four draws, and where there are none, None."""
    some = st.lists(_one_of(count), min_size=1, max_size=2, unique=True).map(tuple) if count else st.none()
    return st.one_of(some, some, some, st.none())


_RULES = st.integers(1, 4)
_ACTIONS = st.sampled_from((Action.ALLOW, Action.ALLOW, Action.ALLOW, Action.DENY, Action.DENY))


@st.composite
def rules(draw: st.DrawFn, direction: str, pool: Pool) -> tuple[Rule, ...]:
    """Up to four rules with names of their own. Only callers can be anonymous."""
    usable = [peer for peer in pool.peers if direction == "ingress" or not isinstance(peer, AnonymousPeer)]
    found = []
    for number in range(draw(_RULES)):
        action, places = draw(_ACTIONS), draw(_some_of(len(usable)))
        chosen = None if places is None else tuple(usable[each] for each in places)
        found.append(Rule(f"{direction[0]}{number}", action, chosen, pool.ports[draw(_one_of(len(pool.ports)))]))
    return tuple(found)


@cache
def traffic() -> st.SearchStrategy[tuple[Traffic, ...]]:
    """Mostly nothing; else an entry with a limit, a bound or a changed header."""
    # The first two say the same.
    rates = st.sampled_from((Rate(5, 60, 5), Rate(10, 120, 5), Rate(5, 60, 9), Rate(6, 60, 6)))
    named = st.builds(lambda who: (NamedRate(*who, Rate(9, 1, 9)),), identity_names())
    limits: list[st.SearchStrategy[Limit]] = [
        st.builds(lambda rate: Limit(By.ALL, rate), rates),
        st.builds(lambda rate: Limit(By.HEADER, rate, "x-tenant"), rates),
        st.builds(lambda rate: Limit(By.CLAIM, rate, issuer=TOKENS, claim="sub"), rates),
        st.builds(lambda rate, some: Limit(By.CALLER, rate, named=some), rates, st.one_of(st.just(()), named)),
    ]
    asks = st.one_of(
        st.builds(lambda limit: TrafficAsks(limits=(limit,)), st.one_of(limits)),
        st.builds(
            lambda bound, most: TrafficAsks(bounds=((bound, most),)), st.sampled_from(Bound), st.integers(1024, 1025)
        ),
        st.builds(lambda name: TrafficAsks(to_caller=HeaderChanges(remove=(name,))), st.sampled_from(("a", "b"))),
    )
    entry = st.builds(lambda some, which: (Traffic("t", which, some),), asks, ports())
    return st.one_of(st.just(()), st.just(()), entry)


_MODES = st.sampled_from((Mode.ENFORCE, Mode.ENFORCE, Mode.ENFORCE, Mode.AUDIT))
_TRANSPORTS = st.sampled_from((None, None, None, *(Transport(mtls) for mtls in MTLS)))
_HAS_INGRESS = st.sampled_from((False, True, True))
_EITHER = st.booleans()


@st.composite
def specs(draw: st.DrawFn, pool: Pool) -> PolicySpec:
    """Sections that may be absent; mostly enforced."""
    return PolicySpec(
        mode=draw(_MODES),
        transport=draw(_TRANSPORTS),
        ingress=draw(rules("ingress", pool)) if draw(_HAS_INGRESS) else None,
        egress=draw(rules("egress", pool)) if draw(_EITHER) else None,
        traffic=draw(traffic()),
    )


@cache
def pod_boxes() -> st.SearchStrategy[LabelBox]:
    """Selectors that users write over pods' labels."""
    values = st.sampled_from(
        (
            labels.one_of("blue"),
            labels.none_of("blue"),
            labels.exists(),
            labels.missing(),
            labels.one_of("blue", "green"),
        )
    )
    return st.dictionaries(st.sampled_from(("app", "tier")), values, min_size=1, max_size=2).map(LabelBox.of)


@cache
def subjects() -> st.SearchStrategy[AppliesTo]:
    """Every form of ``appliesTo``."""
    names = st.lists(st.sampled_from((*IDENTITIES, "ghost")), min_size=1, max_size=2, unique=True).map(tuple)
    return st.one_of(
        st.just(AppliesTo()),
        st.just(AppliesTo()),
        names.map(lambda some: AppliesTo(identities=some)),
        pod_boxes().map(lambda box: AppliesTo(pod_selector=box)),
    )


_POLICIES = st.sampled_from((0, 1, 2, 3))


@st.composite
def policies(draw: st.DrawFn, namespace: str, pool: Pool) -> tuple[SecurityPolicy, ...]:
    """Up to three policies of a namespace."""
    section = specs(pool)
    return tuple(
        SecurityPolicy(ResourceMeta(f"p{number}", namespace), draw(subjects()), draw(section))
        for number in range(draw(_POLICIES))
    )


_FLOORS = st.integers(0, 2)
_SELECTORS = st.sampled_from((LabelBox(), LabelBox.of({LABEL_ZONE: labels.one_of("a")})))


@st.composite
def floors(draw: st.DrawFn, pool: Pool) -> tuple[ClusterSecurityPolicy, ...]:
    """Up to two floors for all namespaces or a zone's."""
    section = specs(pool)
    return tuple(
        ClusterSecurityPolicy(ResourceMeta(f"floor{number}"), draw(_SELECTORS), draw(section))
        for number in range(draw(_FLOORS))
    )


_ZONED = st.sampled_from(({}, {LABEL_ZONE: "a"}, {LABEL_ZONE: "b"}))
_LAB = st.sampled_from(({}, {LABEL_ENROLL: "audit"}, {LABEL_ENROLL: "audit", LABEL_ZONE: "b"}))


@cache
@st.composite
def namespaces(draw: st.DrawFn) -> dict[str, Namespace]:
    """Two closed namespaces, one in audit or not enrolled, and others that nobody enrolled."""
    found = {}
    for name in NAMESPACES:
        found[name] = Namespace.of(name, {LABEL_ENROLL: "enforce", **draw(_ZONED)}, enforced=True)
    lab = Namespace.of("lab", dict(draw(_LAB)))
    return found | {"lab": lab} | {name: Namespace.of(name) for name in ("legacy", "kube-system")}


def _named(http: int, metrics: int) -> tuple[ContainerPort, ...]:
    return (ContainerPort("http", http), ContainerPort("metrics", metrics))


_LABELS = st.dictionaries(st.sampled_from(("app", "tier")), st.sampled_from(APPS), max_size=2)
_CONTAINER_PORTS = st.sampled_from(((), _named(80, 9090), _named(8080, 9090), _named(8080, 8080)))


@st.composite
def workloads(draw: st.DrawFn, known: dict[str, Namespace]) -> dict[str, tuple[Workload, ...]]:
    """Three pods in each namespace, with identities where admission would have given them, and one on its node."""
    found: dict[str, tuple[Workload, ...]] = {}
    for place, (name, namespace) in enumerate(sorted(known.items())):
        pods = []
        for number, account in enumerate((*IDENTITIES, "ghost")):
            own = draw(_LABELS)
            if namespace.enrolment != "none" and (account != "ghost" or draw(_EITHER)):
                own[LABEL_IDENTITY] = account
            pods.append(
                Workload(
                    namespace=name,
                    name=f"{account}-{number}",
                    service_account=account,
                    labels=own,
                    ips=(f"10.244.{place % 2}.{10 * place + number + 1}",),
                    ports=draw(_CONTAINER_PORTS),
                )
            )
        found[name] = tuple(pods)
    host = Workload("shop", "on-node", "web", {LABEL_IDENTITY: "web"}, ips=(NODE,), host_network=True)
    dns = Workload("kube-system", "dns", "dns", {"k8s-app": "kube-dns"}, ips=("10.244.7.7",))
    found["shop"] += (host,)
    found["kube-system"] += (dns,)
    return found


@cache
@st.composite
def worlds(draw: st.DrawFn) -> World:
    """A whole world; no rule is about requests."""
    known = draw(namespaces())
    pool = draw(pools())
    accounts = {n: {i: ServiceIdentity(ResourceMeta(i, n), i) for i in IDENTITIES} for n in (*NAMESPACES, "lab")}
    return World(
        installation=draw(installations()),
        namespaces=known,
        identities=accounts,
        policies={name: draw(policies(name, pool)) for name in NAMESPACES},
        cluster_policies=draw(floors(pool)),
        workloads=draw(workloads(known)),
    )


#: The key of the issuer of tokens that some floors declare, and the issuer.
TOKENS = cluster_key("corp")
CORP = Issuer("corp", "https://corp.example", ("pay",), '{"keys":[]}')
REQUESTS = (
    Requests((HttpMatch(("GET",), ("/a/*",)),)),
    Requests((HttpMatch(paths=("/b",)), HttpMatch(("POST",)))),
    Requests(when=(HeaderCondition("x-env", Asks.IN, ("prod",)),)),
    Requests(query=(QueryCondition("env", Asks.NOT_IN, ("prod",)),)),
    Requests((HttpMatch(("GET",)),), times=(TimeCondition((Window((0,)),)),)),
    Requests(token=TokenMatch(TOKENS, (("role", ("a", "b")),))),
    Requests((HttpMatch(paths=("/a/*",)),), token=TokenMatch(TOKENS)),
    Requests(token=TokenMatch(TOKENS, absent=True)),
    Requests((HttpMatch(("CONNECT",)),)),
    Requests((HttpMatch(("CONNECT",)), HttpMatch(("GET",), ("/b",)))),
)
_MOSTLY = st.sampled_from((True, True, True, False))
#: Of each pod: whether there is a proxy in it.
_PROXIED = st.sampled_from((st.just(True), st.just(True), _MOSTLY))
_DECLARED = st.sampled_from(((CORP,), (CORP,), ()))


@cache
@st.composite
def about_requests(draw: st.DrawFn, some: tuple[Requests, ...] = REQUESTS) -> World:
    """A world in which rules for TCP ports are often about ``some`` requests; proxies in all pods, some or none."""
    world, proxied = draw(worlds()), draw(_PROXIED)
    asked = (None, *some)
    which = _one_of(len(asked))

    def spec(found: PolicySpec) -> PolicySpec:
        rules_ = tuple(
            replace(rule, requests=asked[draw(which)])
            if rule.ports and all(p.protocol is Protocol.TCP for p in rule.ports)
            else rule
            for rule in found.ingress or ()
        )
        return replace(found, ingress=rules_ or None)

    return replace(
        world,
        installation=replace(world.installation, proxies=draw(_MOSTLY)),
        policies={n: tuple(replace(p, spec=spec(p.spec)) for p in found) for n, found in world.policies.items()},
        cluster_policies=tuple(
            replace(p, spec=replace(spec(p.spec), issuers=draw(_DECLARED))) for p in world.cluster_policies
        ),
        workloads={n: tuple(replace(p, proxied=draw(proxied)) for p in found) for n, found in world.workloads.items()},
    )


NAMES = ("api.example.com", "*.example.com", "other.example")
_SOME_NAMES = st.lists(st.sampled_from(NAMES), min_size=1, max_size=2, unique=True)
_PORTS_OF_HOSTS = st.sampled_from(((PortSpec(80),), (PortSpec(8080), PortSpec(80))))
#: One of the addresses outside is open to names, another is not.
_HOST_OPEN = st.sampled_from((("203.0.113.0/24",), ("203.0.113.0/24", "2001:db8::/32"), ()))


@cache
@st.composite
def about_hosts(draw: st.DrawFn) -> World:
    """A world in which Allows of calls out often name hosts, with proxies in all pods, some or none."""
    world, proxied = draw(worlds()), draw(_PROXIED)

    def rule(found: Rule) -> Rule:
        if found.action is Action.DENY or not draw(_EITHER):
            return found
        others = (found.peers or ()) if draw(_EITHER) else ()
        ports_ = draw(_PORTS_OF_HOSTS)
        return replace(found, peers=(*map(HostPeer, draw(_SOME_NAMES)), *others), ports=ports_)

    def spec(found: PolicySpec) -> PolicySpec:
        return replace(found, egress=tuple(map(rule, found.egress)) if found.egress is not None else None)

    open_, proxies = draw(_HOST_OPEN), draw(_MOSTLY)
    return replace(
        world,
        installation=replace(world.installation, proxies=proxies, host_open=open_),
        policies={n: tuple(replace(p, spec=spec(p.spec)) for p in found) for n, found in world.policies.items()},
        cluster_policies=tuple(replace(p, spec=spec(p.spec)) for p in world.cluster_policies),
        workloads={n: tuple(replace(p, proxied=draw(proxied)) for p in found) for n, found in world.workloads.items()},
    )
