"""What no proxy carries: pods on the node's network, and what is not TCP."""

import time

import pytest

from e2e.demo.client import until
from e2e.traffic import pods
from e2e.traffic.place import REFUSED, Place

pytestmark = [pytest.mark.node, pytest.mark.timeout(300)]


def test_a_pod_on_the_nodes_network_needs_an_exception_and_is_nobody(traffic: Place) -> None:
    admin, space = traffic.admin, traffic.space
    pod = pods.pod(space, "node-agent", "worker", traffic.image, "wait", hostNetwork=True)
    pod["spec"]["dnsPolicy"] = "ClusterFirstWithHostNet"
    refused = admin.create(pod)
    assert not refused.ok
    assert "hostNetwork" in refused.message

    name = f"agents-{space}"
    until_ = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    exception = {
        "name": "agent",
        "namespace": space,
        "identities": ["worker"],
        "controls": ["host-namespaces"],
        "reason": "reads what is on the node",
        "until": until_,
    }
    admin.apply(
        [
            {
                "apiVersion": "ringfence.dev/v1alpha1",
                "kind": "ClusterSecurityPolicy",
                "metadata": {"name": name},
                "spec": {
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": space}},
                    "exceptions": [exception],
                },
            }
        ]
    )
    try:
        until(lambda: admin.create(pod).ok, "the exception is in force", 30, every=1)
        admin.run("wait", f"--namespace={space}", "pod/node-agent", "--for=condition=Ready", "--timeout=60s")
        made = admin.get("pod", "node-agent", f"--namespace={space}")
        assert "initContainers" not in made["spec"], "there is no place for a proxy"
        # Its identity may call this port, but it has nothing to show for it: only what is open to anybody is open.
        host = f"server.{space}"
        assert traffic.ask("pod/node-agent", "web", host, 80)["outcome"] in REFUSED
        assert traffic.ask("pod/node-agent", "lines", host, 9000)["outcome"] in REFUSED
        assert traffic.ask("pod/node-agent", "lines", host, 9001)["outcome"] == "greeted"
    finally:
        admin.run("delete", "clustersecuritypolicy", name, "--ignore-not-found")
        admin.run("delete", "pod", "node-agent", f"--namespace={space}", "--ignore-not-found", "--grace-period=1")


def test_datagrams_pass_by_the_networks_rules_alone(traffic: Place) -> None:
    [server] = traffic.pods("server")
    address = server["status"]["podIP"]
    for host in ("server", address):
        assert traffic.ask("friend", "datagram", host, 9999)["outcome"] == "echoed"
        assert traffic.ask("stranger", "datagram", host, 9999)["outcome"] == "silent"


def test_errors_of_icmp_come_through_and_echo_requests_do_not(traffic: Place) -> None:
    [server] = traffic.pods("server")
    address = server["status"]["podIP"]
    assert traffic.ask("friend", "datagram", address, pods.NO_SERVER)["outcome"] == "refused", "port unreachable"
    assert traffic.ask("friend", "ping", address)["outcome"] == "dropped"
    assert traffic.ask("friend", "ping", "127.0.0.1")["outcome"] == "echoed", "a pod's loopback is its own"


def test_names_are_found_by_udp_and_by_tcp(traffic: Place) -> None:
    host = f"server.{traffic.space}.svc.cluster.local"
    service = traffic.admin.get("service", "server", f"--namespace={traffic.space}")
    dns = traffic.admin.get("service", "kube-dns", "--namespace=kube-system")["spec"]["clusterIP"]
    for source in ("friend", "stranger"):
        assert service["spec"]["clusterIP"] in traffic.ask(source, "name", host)["addresses"]
        assert traffic.ask(source, "name-by-tcp", host, f"--server={dns}")["answers"] == 1
