"""Which pods share a configuration, and what of a pod shapes it."""

from typing import Any

import pytest
from ringfence.model import labels
from ringfence.model.labels import LabelBox
from ringfence.model.mesh import ServicePort, ServiceValue
from ringfence.model.names import LABEL_IDENTITY
from ringfence.model.probes import Probe, ProbeKind
from ringfence.model.resources import AppliesTo, Protocol
from ringfence.translate.envoy import Port, subject

from tests.unit.policy import making as policies
from tests.unit.policy.making import allow, caller, policy
from tests.unit.translate.envoy.making import mesh, pod, service

EMPTY = mesh(policies.world())


def container(*ports: dict[str, Any], **rest: Any) -> list[dict[str, Any]]:
    return [{"name": "c", "ports": list(ports), **rest}]


def test_labels_that_no_policy_asks_for_make_no_class() -> None:
    box = LabelBox.of({"tier": labels.one_of("front")})
    known = mesh(policies.world(policy(applies_to=AppliesTo(pod_selector=box), ingress=(allow("x", caller("web")),))))
    one, other = pod("api"), pod("api")
    one["metadata"]["labels"] |= {"pod-template-hash": "1", "tier": "front"}
    other["metadata"]["labels"] |= {"pod-template-hash": "2", "tier": "front"}
    assert subject(one, known) == subject(other, known)
    assert subject(one, known).labels == ((LABEL_IDENTITY, "api"), ("tier", "front"))
    other["metadata"]["labels"]["tier"] = "back"
    assert subject(one, known) != subject(other, known)


def test_the_identity_is_that_of_the_account_whatever_the_label_says() -> None:
    forged = pod("api")
    forged["metadata"]["labels"][LABEL_IDENTITY] = "admin"
    assert dict(subject(forged, EMPTY).labels)[LABEL_IDENTITY] == "api"


def test_ports_of_containers_services_and_probes_are_known() -> None:
    services = (
        service("api", ServicePort("http", 80, "web"), ServicePort("", 81, 8081)),
        ServiceValue("shop", "other", ("10.96.0.9",), (ServicePort("http", 80, 9999),), (("app", "other"),)),
    )
    known = mesh(policies.world(), {"shop": services})
    ports = container(
        {"containerPort": 8080, "name": "web"},
        {"containerPort": 53, "protocol": "UDP", "name": "dns"},
        {"containerPort": 15006},
        readinessProbe={"httpGet": {"port": 15021, "path": "/ringfence/probe/tcp/5432"}},
    )
    found = subject(pod("api", containers=ports), known)
    assert found.ports == (Port(5432), Port(8080, ("web",), http=True), Port(8081))
    assert found.probes == (Probe(ProbeKind.TCP, 5432),)


@pytest.mark.parametrize(
    ("ports", "http"),
    [
        ((ServicePort("http", 80, 8080),), True),
        ((ServicePort("http-web", 80, 8080),), True),
        ((ServicePort("grpc", 80, 8080),), True),
        ((ServicePort("x", 80, 8080, app_protocol="kubernetes.io/h2c"),), True),
        ((ServicePort("x", 80, 8080, app_protocol="kubernetes.io/ws"),), True),
        ((ServicePort("http", 80, 8080, app_protocol="mysql"),), False),
        ((ServicePort("https", 80, 8080),), False),
        ((ServicePort("httpx", 80, 8080),), False),
        ((ServicePort("", 80, 8080),), False),
        ((ServicePort("http", 80, 8080, protocol=Protocol.UDP),), False),
        ((ServicePort("http", 80, 8080), ServicePort("", 81, 8080)), True),
        ((ServicePort("http", 80, 8080), ServicePort("tcp", 81, 8080)), False),
    ],
)
def test_a_port_speaks_http_where_a_service_says_so_and_none_says_otherwise(
    ports: tuple[ServicePort, ...], http: bool
) -> None:
    known = mesh(policies.world(), {"shop": (service("api", *ports),)})
    found = subject(pod("api", containers=container({"containerPort": 8080})), known)
    assert [port.http for port in found.ports if port.number == 8080] == [http]


@pytest.mark.parametrize(
    ("port", "path"),
    [
        (8080, "/ringfence/probe/http/8080/x"),
        (15021, "/healthz"),
        (15021, "/ringfence/probe/udp/53"),
        (15021, "/ringfence/probe/tcp/0"),
        (15021, "/ringfence/probe/tcp/70000"),
        (15021, "/ringfence/probe/http/15001/x"),
        (15021, ""),
    ],
)
def test_what_is_no_rewritten_probe_is_none(port: int, path: str) -> None:
    probe = {"livenessProbe": {"httpGet": {"port": port, "path": path}}}
    assert subject(pod("api", containers=container(**probe)), EMPTY).probes == ()


def test_addresses_say_which_kinds_the_pod_has_and_the_cluster_until_then() -> None:
    waiting = subject(pod("api"), EMPTY)
    assert (waiting.v4, waiting.v6) == (True, False)
    both = pod("api") | {"status": {"podIPs": [{"ip": "10.244.0.1"}, {"ip": "fd00::1"}]}}
    only = pod("api") | {"status": {"podIPs": [{"ip": "fd00::1"}]}}
    assert (subject(both, EMPTY).v4, subject(both, EMPTY).v6) == (True, True)
    assert (subject(only, EMPTY).v4, subject(only, EMPTY).v6) == (False, True)
