"""Namespaces, programs and policies for scenarios, and the questions that they ask of the cluster."""

import json
from dataclasses import dataclass
from typing import Any

from e2e.cluster import backend, command, process
from e2e.cluster.local import LocalCluster
from e2e.demo import connect, install, shop
from e2e.demo.client import Client, Done, Object, until
from e2e.demo.connect import Outcome

ENROLL = "ringfence.dev/enroll"
CONDITION = "ringfence.dev/Enforced"
API_VERSION = "ringfence.dev/v1alpha1"
PORT = 8080
OUTSIDE_PORT = 18080

CLOSES_WITHIN = 60.0
"""Seconds until a namespace that may close is closed, on a machine with much other work."""
SETTLES_WITHIN = 30.0
"""Seconds until a network is what the policies say, kube-proxy, the network plugin and such a machine included."""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """One namespace of a scenario."""

    admin: Client
    name: str
    image: str

    def enroll(self, value: str = "enforce") -> Done:
        """Sets the label as the platform's administrator."""
        return self.admin.attempt("label", "namespace", self.name, "--overwrite", f"{ENROLL}={value}")

    def condition(self) -> Object:
        """What Ringfence says on the Namespace; empty while it says nothing."""
        status = self.admin.get("namespace", self.name).get("status", {})
        found = [each for each in status.get("conditions", []) if each["type"] == CONDITION]
        return found[0] if found else {}

    def is_closed(self) -> bool:
        """Whether the condition says so and the default deny is there."""
        return self.condition().get("status") == "True" and "ringfence-default-deny" in self.network_policies()

    def wait_closed(self) -> float:
        """Returns the seconds that it took. Raises ClusterError."""
        return until(self.is_closed, f"{self.name} is closed; it says {self.condition()}", CLOSES_WITHIN)

    def network_policies(self) -> dict[str, Object]:
        """Those of the namespace, by name."""
        listed = self.admin.get("networkpolicies", f"--namespace={self.name}")["items"]
        return {each["metadata"]["name"]: each for each in listed}

    def run(self, *names: str, identity: bool = True) -> list[shop.Service]:
        """Starts a program of each name and waits until it answers."""
        objects = [each for name in names for each in self.program(name, identity=identity)]
        self.admin.apply(objects)
        return [self.wait_running(name) for name in names]

    def wait_running(self, name: str, within: float = 90) -> shop.Service:
        """Returns the program when its Deployment is rolled out. Raises ClusterError."""
        timeout = f"--timeout={within:.0f}s"
        self.admin.run(
            "rollout", "status", f"--namespace={self.name}", f"deployment/{name}", timeout, timeout=within + 10
        )
        return shop.Service(self.name, name, PORT)

    def program(self, name: str, *, identity: bool = True) -> list[Object]:
        """ServiceAccount, ServiceIdentity, Deployment and Service of one program."""
        place = {"name": name, "namespace": self.name}
        account = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": place,
            "automountServiceAccountToken": False,
        }
        named = {"apiVersion": API_VERSION, "kind": "ServiceIdentity", "metadata": place, "spec": {}}
        template = {"metadata": {"labels": {"app": name}}, "spec": pod_spec(name, self.image)}
        deployment = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": place,
            "spec": {"selector": {"matchLabels": {"app": name}}, "template": template},
        }
        ports = [{"name": protocol.lower(), "port": PORT, "protocol": protocol} for protocol in ("TCP", "UDP")]
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": place,
            "spec": {"selector": {"app": name}, "ports": ports},
        }
        return [account, *([named] if identity else []), deployment, service]

    def pod(self, name: str, account: str) -> Object:
        """A pod of its own, with nothing wrong in it."""
        metadata = {"name": name, "namespace": self.name, "labels": {"app": name}}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod_spec(account, self.image)}

    def policy(self, name: str, spec: dict[str, Any]) -> Object:
        """A SecurityPolicy."""
        metadata = {"name": name, "namespace": self.name}
        return {"apiVersion": API_VERSION, "kind": "SecurityPolicy", "metadata": metadata, "spec": spec}

    def allow(self, target: str, source: str, port: int = PORT) -> Object:
        """A policy that lets one identity of this namespace call another."""
        peer = {"identity": {"namespace": self.name, "name": source}}
        rule = {"name": source, "from": [peer], "ports": [port]}
        return self.policy(target, {"appliesTo": {"identities": [target]}, "ingress": [rule]})

    def floor(self, name: str, **sections: list[dict[str, Any]]) -> Object:
        """A ClusterSecurityPolicy for this namespace alone."""
        selector = {"matchLabels": {"kubernetes.io/metadata.name": self.name}}
        spec = {"namespaceSelector": selector, **sections}
        return {"apiVersion": API_VERSION, "kind": "ClusterSecurityPolicy", "metadata": {"name": name}, "spec": spec}

    def allow_all(self) -> Object:
        """A NetworkPolicy of somebody's that would open the namespace."""
        return {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "allow-all", "namespace": self.name},
            "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]},
        }

    def pod_names(self, name: str) -> list[str]:
        """The pods of a program that are not on their way out."""
        pods = self.admin.get("pods", f"--namespace={self.name}", f"--selector=app={name}")["items"]
        return [each["metadata"]["name"] for each in pods if "deletionTimestamp" not in each["metadata"]]


def pod_spec(account: str, image: str) -> Object:
    """One container that answers TCP and UDP on PORT, and passes the restricted standard."""
    return {
        "serviceAccountName": account,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "name": "http",
                "image": image,
                "args": ["netexec", f"--http-port={PORT}", f"--udp-port={PORT}"],
                "ports": [{"name": "http", "containerPort": PORT}],
                "readinessProbe": {"httpGet": {"path": "/healthz", "port": PORT}, "periodSeconds": 1},
                "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            }
        ],
    }


def reaches(admin: Client, source: shop.Service, address: str, protocol: str = "tcp") -> bool:
    """Whether there is an answer. Raises AssertionError when it could not even be asked for."""
    outcome, message = connect.connect(admin, source, address, protocol)
    assert outcome in (Outcome.OPEN, Outcome.DROPPED, Outcome.CUT), f"{source.name} to {address}: {outcome}, {message}"
    return outcome is Outcome.OPEN


def wait_reaches(admin: Client, source: shop.Service, address: str, protocol: str = "tcp") -> None:
    """Returns when the connection comes about. Raises ClusterError."""
    until(lambda: reaches(admin, source, address, protocol), f"{source.name} reaches {address}", SETTLES_WITHIN)


def wait_cut(admin: Client, source: shop.Service, address: str) -> None:
    """Returns when the connection no longer comes about. Raises ClusterError."""
    until(lambda: not reaches(admin, source, address), f"{source.name} is cut off from {address}", SETTLES_WITHIN)


def ready_replicas(admin: Client, namespace: str, deployment: str) -> int:
    """How many pods of a Deployment are ready."""
    status = admin.get("deployment", deployment, f"--namespace={namespace}").get("status", {})
    return int(status.get("readyReplicas", 0))


def scale(admin: Client, namespace: str, deployment: str, replicas: int) -> None:
    """Sets the number of replicas, and returns when it is true. Raises ClusterError."""
    admin.run("scale", f"--namespace={namespace}", f"deployment/{deployment}", f"--replicas={replicas}")
    selector = admin.get("deployment", deployment, f"--namespace={namespace}")["spec"]["selector"]["matchLabels"]
    labels = ",".join(f"{key}={value}" for key, value in selector.items())

    def true() -> bool:
        pods = admin.get("pods", f"--namespace={namespace}", f"--selector={labels}")["items"]
        return len(pods) == replicas and ready_replicas(admin, namespace, deployment) == replicas

    until(true, f"{deployment} has {replicas} replicas", 90)


def patch(admin: Client, namespace: str, target: str, change: Object) -> Done:
    """A merge patch of one object, written kind/name."""
    return admin.attempt("patch", f"--namespace={namespace}", target, "--type=merge", f"--patch={json.dumps(change)}")


def restart_api_server(cluster: backend.Cluster) -> None:
    """Kills it; on kind the kubelet starts it again."""
    if isinstance(cluster, LocalCluster):
        process.stop_marked(cluster.layout.nodes[0].directory / "kube-apiserver.pid", grace=0)
        backend.start(install.CLUSTER)
    else:
        command.run(*cluster.entering(1), "pkill", "-9", "-x", "kube-apiserver")
