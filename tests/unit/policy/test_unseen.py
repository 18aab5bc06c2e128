"""Rules about requests on ports of which no Service says that they speak HTTP."""

from dataclasses import replace

import pytest
from ringfence.model.mesh import ServicePort, ServiceValue
from ringfence.model.requests import HttpMatch, Requests
from ringfence.model.resources import Action, PortSpec, Rule
from ringfence.model.world import ContainerPort, Workload
from ringfence.policy import unseen
from ringfence.policy.reasons import FindingReason
from ringfence.policy.resolve import resolve

from tests.unit.policy import making

GET = Requests((HttpMatch(("GET",)),))
POD = replace(making.pod("db", ip="10.244.0.1"), proxied=True, ports=(ContainerPort("web", 8080),))


def service(*ports: ServicePort) -> ServiceValue:
    return ServiceValue("shop", "db", ports=ports, selector=(("ringfence.dev/identity", "db"),))


HTTP, SQL = ServicePort("http", 80, 8080), ServicePort("sql", 5432, 5432)


def told(
    *ports: PortSpec, services: tuple[ServiceValue, ...], action: Action = Action.ALLOW, pod: Workload = POD
) -> list[str]:
    written = making.policy(ingress=(Rule("r", action, None, ports, GET), making.allow("plain", ports=(5432,))))
    known = making.world(written, pods=(pod,), installation=replace(making.INSTALLATION, proxies=True))
    found = unseen.findings(resolve(known, "shop"), known.workloads["shop"], services)
    assert set(resolve(known, "shop").findings) <= set(found)
    return [each.message for each in found if each.reason == FindingReason.REQUESTS_NOT_SEEN]


def test_a_port_of_http_is_as_it_should_be() -> None:
    assert told(PortSpec(8080), PortSpec("web"), services=(service(HTTP, SQL),)) == []


@pytest.mark.parametrize(("action", "does"), [(Action.ALLOW, "allows nothing"), (Action.DENY, "denies everything")])
def test_a_port_that_carries_bytes_is_told(action: Action, does: str) -> None:
    (said,) = told(PortSpec(8080), PortSpec(5432), services=(service(HTTP, SQL),), action=action)
    assert said.startswith(f"rule r {does} on 5432: it is about requests, and no Service says")


def test_without_services_nothing_speaks_http() -> None:
    assert len(told(PortSpec("web"), services=())) == 1
    assert told(PortSpec("other"), services=()) == []


def test_of_a_wide_range_only_ports_that_there_are_count() -> None:
    assert told(PortSpec(8000, 9000), services=(service(HTTP),)) == []
    assert len(told(PortSpec(8079, 8080), services=(service(HTTP),))) == 1


def test_where_no_proxy_judges_that_is_said_alone() -> None:
    assert told(PortSpec(5432), services=(), pod=replace(POD, proxied=False)) == []
