"""A class whose footing is the same has the same configuration, whatever else has changed in the cluster."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st
from ringfence.model.mesh import EndpointValue, Mesh, ServicePort, ServiceValue
from ringfence.model.names import LABEL_IDENTITY
from ringfence.model.resources import Certificate, ClusterSecurityPolicy
from ringfence.model.world import Workload, World
from ringfence.policy.resolve import resolve
from ringfence.translate import envoy
from ringfence.translate.envoy import Port, Subject

from tests.property import worlds

ENROLLED = (*worlds.NAMESPACES, "lab")
PARTS = ("pods", "pod", "policies", "floors", "labels", "ttl", "cluster", "services", "slices")
PORTS = (ServicePort("http", 80, "http"), ServicePort("tcp-metrics", 9090, "metrics"), ServicePort("x", 8080, 8080))


@st.composite
def services(draw: st.DrawFn) -> dict[str, tuple[ServiceValue, ...]]:
    """A Service of each identity, some headless, one of pods that more than one identity has, and the API server's."""
    found = {}
    for place, namespace in enumerate((*worlds.NAMESPACES, *worlds.ELSEWHERE)):
        made = []
        for number, name in enumerate(worlds.IDENTITIES):
            ip = draw(st.sampled_from(((), (f"10.96.{place}.{number}",))))
            ports = draw(st.lists(st.sampled_from(PORTS), min_size=1, max_size=2, unique=True))
            made.append(ServiceValue(namespace, name, ip, tuple(sorted(ports, key=str)), ((LABEL_IDENTITY, name),)))
        app = draw(st.sampled_from(worlds.APPS))
        made.append(ServiceValue(namespace, "zapp", (f"10.96.{place}.99",), PORTS[:1], (("app", app),)))
        found[namespace] = tuple(made)
    api = ServiceValue("default", "kubernetes", ("10.96.0.1",), (ServicePort("https", 443, 80),))
    return found | {"default": (api,)}


@st.composite
def endpoints(draw: st.DrawFn, world: World) -> dict[tuple[str, str], tuple[EndpointValue, ...]]:
    """What slices say of some Services: some of the pods, ready or not."""
    found = {}
    for namespace, name in draw(st.sets(st.tuples(st.sampled_from(ENROLLED), st.sampled_from(worlds.IDENTITIES)))):
        pods = [pod for pod in world.workloads[namespace] if draw(st.booleans())]
        found[namespace, name] = tuple(sorted(EndpointValue(p.name, p.ips[0], draw(st.booleans())) for p in pods))
    return found


def fetching(world: World) -> World:
    """The world, its proxies fetching the keys of issuers."""

    def fetched(policy: ClusterSecurityPolicy) -> ClusterSecurityPolicy:
        told = tuple(replace(each, jwks="", jwks_uri="https://login.example/") for each in policy.spec.issuers)
        return replace(policy, spec=replace(policy.spec, issuers=told))

    installation = replace(world.installation, jwks_hosts=("login.example",))
    return replace(world, installation=installation, cluster_policies=tuple(map(fetched, world.cluster_policies)))


@st.composite
def proxied(draw: st.DrawFn) -> World:
    """A world in which most pods of enrolled namespaces have proxies."""
    about_requests = worlds.about_requests()
    world = draw(st.one_of(worlds.worlds(), about_requests, about_requests.map(fetching), worlds.about_hosts()))
    found = {
        name: tuple(replace(pod, proxied=name in ENROLLED and draw(st.integers(0, 4)) > 0) for pod in pods)
        for name, pods in world.workloads.items()
    }
    return replace(world, workloads=found)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Mesh, Mesh]:
    """A cluster, and the same with one part of it of another."""
    world, other = draw(proxied()), draw(proxied())
    told, said = draw(services()), draw(endpoints(world))
    changed, told_then, said_then = world, told, said
    place = draw(st.sampled_from(ENROLLED))
    part = draw(
        st.sampled_from(("pods", "pod", "policies", "floors", "labels", "ttl", "cluster", "services", "slices"))
    )
    if part == "pods":
        changed = replace(world, workloads={**world.workloads, place: other.workloads[place]})
    elif part == "pod":
        first, *rest = world.workloads[place]
        changed = replace(world, workloads={**world.workloads, place: (_another(draw, first), *rest)})
    elif part == "policies":
        changed = replace(world, policies={**world.policies, place: other.policies.get(place, ())})
    elif part == "floors":
        changed = replace(world, cluster_policies=other.cluster_policies)
    elif part == "labels":
        changed = replace(world, namespaces={**world.namespaces, place: other.namespaces[place]})
    elif part == "ttl":
        mine = {name: replace(each, certificate=Certificate(ttl=600)) for name, each in world.identities[place].items()}
        changed = replace(world, identities={**world.identities, place: mine})
    elif part == "cluster":
        changed = replace(world, installation=other.installation)
    elif part == "services":
        told_then = {**told, place: draw(services())[place]}
    else:
        said_then = draw(endpoints(world))
    return _mesh(world, told, said), _mesh(changed, told_then, said_then)


def _another(draw: st.DrawFn, pod: Workload) -> Workload:
    """The pod with something else about it."""
    return draw(
        st.sampled_from(
            (
                replace(pod, ips=("10.244.3.77",)),
                replace(pod, ips=()),
                replace(pod, finished=True),
                replace(pod, proxied=not pod.proxied),
                replace(pod, labels={**pod.labels, "app": "green"}),
                replace(pod, ports=()),
            )
        )
    )


def _mesh(
    world: World,
    told: dict[str, tuple[ServiceValue, ...]],
    said: dict[tuple[str, str], tuple[EndpointValue, ...]],
) -> Mesh:
    return Mesh(world, cache(lambda namespace: resolve(world, namespace)), told, said)


def _subjects(mesh: Mesh) -> Iterator[Subject]:
    for namespace in ENROLLED:
        for account in worlds.IDENTITIES:
            for app in worlds.APPS:
                labels = tuple(sorted({"app": app, LABEL_IDENTITY: account}.items()))
                yield Subject(namespace, account, labels, (Port(8080, ("http",), http=True), Port(9090, ("metrics",))))


def test_an_equal_footing_is_an_equal_configuration() -> None:
    seen = {"same": 0, "other": 0}

    @settings(max_examples=30)
    @given(pairs())
    def law(pair: tuple[Mesh, Mesh]) -> None:
        before, after = pair
        for subject in _subjects(before):
            first, second = envoy.configure(subject, before), envoy.configure(subject, after)
            same = envoy.footing(subject, before) == envoy.footing(subject, after)
            assert first == second or not same, subject
            seen["same" if same else "other"] += first == second if same else first != second

    law()
    # It is no law if nothing was ever equal, or nothing ever different.
    assert min(seen.values()) > 20, seen
