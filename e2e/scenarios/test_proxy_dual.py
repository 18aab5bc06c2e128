"""IPv6 beside IPv4, on a cluster of its own: whatever works by one address works by the other, and for nobody else."""

from collections.abc import Iterator

import pytest

from e2e.cluster import backend
from e2e.demo import install
from e2e.traffic import place, pods
from e2e.traffic.place import REFUSED, Place

pytestmark = [pytest.mark.node, pytest.mark.timeout(400)]

NAME = f"{install.CLUSTER}-dual"
KINDS = (("web", 80, 8080, "200"), ("lines", 9000, 9000, "greeted"), ("streams", 82, 8082, "OK"))
"""What is asked, on which port of the Service and of the pod, and what it comes to."""


@pytest.fixture(scope="module")
def dual() -> Iterator[Place]:
    """The place, where pods and the Service have addresses of both families."""
    backend.stop(NAME)
    cluster = backend.start(NAME, 1, dual=True)
    try:
        image = install.push_images(NAME)
        install.install(cluster, image)
        install.wait_ready(cluster)
        with place.opened(cluster, install.client(cluster), image) as made:
            both = pods.service(made.space, "server", ipFamilyPolicy="RequireDualStack")
            six = pods.service(made.space, "six", ipFamilies=["IPv6"], selector={"app": "server"})
            made.admin.apply([both, six])
            yield made
    finally:
        backend.stop(NAME)


def _addresses(dual: Place) -> tuple[list[str], list[str]]:
    """Of the Service and of its pod; IPv4 and IPv6."""
    service = dual.admin.get("service", "server", f"--namespace={dual.space}")["spec"]["clusterIPs"]
    [pod] = dual.pods("server")
    return service, [each["ip"] for each in pod["status"]["podIPs"]]


def test_services_and_pods_are_reached_by_both_addresses(dual: Place) -> None:
    service, pod = _addresses(dual)
    assert [":" in each for each in (*service, *pod)] == [False, True] * 2
    for kind, port, own, outcome in KINDS:
        for host, number in [*((each, port) for each in service), *((each, own) for each in pod)]:
            found = dual.ask("friend", kind, host, number, f"--expect={outcome}")
            assert found["outcome"] == outcome, (kind, host)
            assert dual.ask("stranger", kind, host, number)["outcome"] in REFUSED, (kind, host)


def test_a_service_of_ipv6_alone_leads_to_the_same_pods(dual: Place) -> None:
    [address] = dual.admin.get("service", "six", f"--namespace={dual.space}")["spec"]["clusterIPs"]
    assert ":" in address
    said = dual.ask("friend", "web", "six", 80, "--expect=200")["said"]
    assert f"spiffe://cluster.local/ns/{dual.space}/sa/friend" in said["from"]
    assert dual.ask("stranger", "web", "six", 80)["outcome"] in REFUSED


def test_a_pod_calls_itself_by_ipv6_through_both_of_its_sides(dual: Place) -> None:
    service, pod = _addresses(dual)
    for host, port in ((service[1], 80), (pod[1], 8080)):
        assert "/sa/server" in dual.ask("server", "web", host, port)["said"]["from"]


def test_what_is_not_tcp_is_the_same_in_ipv6(dual: Place) -> None:
    service, pod = _addresses(dual)
    for host in (service[1], pod[1]):
        assert dual.ask("friend", "datagram", host, 9999)["outcome"] == "echoed"
        assert dual.ask("stranger", "datagram", host, 9999)["outcome"] == "silent"
    assert dual.ask("friend", "datagram", pod[1], pods.NO_SERVER)["outcome"] == "refused", "port unreachable"
    # Unlike in IPv4, the kernel does not tell a socket that its echo request was dropped on its way out.
    assert dual.ask("friend", "ping", pod[1])["outcome"] == "silent"
