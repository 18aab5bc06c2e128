"""The cluster on kind, where a Docker engine answers.

Images come from the same registry program as on the local node: it listens on the machine's loopback and on the gateway
of Docker's `kind` network, and the nodes' containerd is told that the one name means the other.
"""

import ipaddress
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import yaml

from e2e.cluster import kubectl, paths, process, tools, versions
from e2e.cluster.command import attempt, run
from e2e.cluster.errors import ClusterError
from e2e.cluster.layout import DEFAULT_NODES
from e2e.cluster.process import Daemon
from e2e.cluster.progress import say, step
from e2e.images import registry, static

TOOLS = (tools.CONTROL, tools.NODE, tools.CONTENT, tools.HELM, tools.KIND)
_PORT = 5001
_POD_CIDR = "10.244.0.0/16"
_SERVICE_CIDR = "10.96.0.0/16"
_DUAL = {
    "ipFamily": "dual",
    "podSubnet": f"{_POD_CIDR},fd00:10:244::/56",
    "serviceSubnet": f"{_SERVICE_CIDR},fd00:10:96::/112",
}
_CERTS = "/etc/containerd/certs.d"
_KUBELET = {
    "apiVersion": "kubelet.config.k8s.io/v1beta1",
    "kind": "KubeletConfiguration",
    "syncFrequency": versions.KUBELET_SYNC_FREQUENCY,
}


@dataclass(frozen=True, slots=True)
class KindCluster:
    """One cluster on kind."""

    name: str
    programs: Path

    @property
    def directory(self) -> Path:
        """The cluster's state."""
        return paths.cluster(self.name)

    @property
    def kubeconfig(self) -> Path:
        """A cluster administrator's kubeconfig."""
        return self.directory / "kubeconfig"

    @property
    def registry(self) -> str:
        """What the names of images begin with."""
        return f"localhost:{_PORT}"

    @property
    def registry_inside(self) -> str:
        """The same registry as pods reach it."""
        return f"{network_gateway(run('docker', 'network', 'inspect', 'kind'))}:{_PORT}"

    @property
    def environment(self) -> dict[str, str]:
        """Facts for scripts and tests. The outside is the machine itself, as kind's nodes see it."""
        return {
            "RINGFENCE_POD_CIDR": _POD_CIDR,
            "RINGFENCE_SERVICE_CIDR": _SERVICE_CIDR,
            "RINGFENCE_OUTSIDE": network_gateway(run("docker", "network", "inspect", "kind")),
        }

    def create(self, nodes: int, *, dual: bool) -> None:
        """Creates it, unless kind has it, and waits until its nodes take pods."""
        if self.name not in names(self.programs):
            file = self.directory / "kind.yaml"
            file.write_text(yaml.safe_dump(configuration(nodes, dual=dual)))
            with step(f"kind create cluster ({nodes} nodes)"):
                arguments = (f"--config={file}", f"--kubeconfig={self.kubeconfig}", "--wait=120s")
                run(self.programs / "kind", "create", "cluster", f"--name={self.name}", *arguments)
        for node in self._nodes():
            run("docker", "start", node)
        with step("starting the registry"):
            self._start_registry()
            for image in static.IMAGES:
                self.load(static.build(image, self.programs / image.name), f"{image.name}:dev")
        client = kubectl.Kubectl(self.programs / "kubectl", self.kubeconfig)
        client.run("wait", "node", "--all", "--for=condition=Ready", "--timeout=120s")

    def delete(self) -> None:
        """Deletes it, its registry and its state."""
        run(self.programs / "kind", "delete", "cluster", f"--name={self.name}", f"--kubeconfig={self.kubeconfig}")
        process.stop_marked(self.directory / "registry.pid")
        shutil.rmtree(self.directory, ignore_errors=True)

    def status(self) -> list[tuple[str, bool]]:
        """The nodes and the registry."""
        states = [(node, _container_runs(node)) for node in self._nodes()]
        return [*states, ("registry", Daemon("registry", (), self.directory).running())]

    def load(self, layout: Path, reference: str) -> str:
        """Puts an image into the registry; returns its name with its digest."""
        return registry.push(self.programs / "crane", layout, f"{self.registry}/{reference}")

    def kill(self, part: str) -> None:
        """Stops a node's container, or the registry."""
        if part == "registry":
            process.stop_marked(self.directory / "registry.pid", grace=0)
        elif part in self._nodes():
            run("docker", "kill", part)
        else:
            raise ClusterError(f"there is no part {part}; see: python -m e2e.cluster status --name {self.name}")

    def entering(self, number: int) -> tuple[str, ...]:
        """The command that runs what follows it inside a node."""
        nodes = self._nodes()
        if not 1 <= number <= len(nodes):
            raise ClusterError(f"there is no node {number}; this cluster has {len(nodes)}")
        return ("docker", "exec", "--interactive", nodes[number - 1])

    def _nodes(self) -> list[str]:
        return sorted(run(self.programs / "kind", "get", "nodes", f"--name={self.name}").split())

    def _start_registry(self) -> None:
        inside = self.registry_inside
        blobs = self.directory / "registry"
        blobs.mkdir(exist_ok=True)
        addresses = f"127.0.0.1:{_PORT},{inside}"
        daemon = Daemon(
            "registry",
            (str(self.programs / "registry"), f"-addresses={addresses}", f"-directory={blobs}"),
            self.directory,
        )
        daemon.start()
        daemon.wait(lambda: registry.answers(self.registry), within=10)
        for node in self._nodes():
            hosts = f'[host."http://{inside}"]\n  capabilities = ["pull", "resolve"]\n'
            for name in (self.registry, inside):
                script = f"mkdir -p {_CERTS}/{name} && cat > {_CERTS}/{name}/hosts.toml"
                run("docker", "exec", "--interactive", node, "sh", "-ec", script, stdin=hosts)


def configuration(nodes: int, *, dual: bool = False) -> dict[str, object]:
    """kind's own configuration: the same features of the API server as on the local node."""
    flags = dict(each.removeprefix("--").split("=", 1) for each in versions.API_FEATURES)
    return {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "featureGates": dict(versions.NODE_FEATURES),
        "networking": _DUAL if dual else {"podSubnet": _POD_CIDR, "serviceSubnet": _SERVICE_CIDR},
        "runtimeConfig": dict([flags["runtime-config"].split("=", 1)]),
        "kubeadmConfigPatches": [yaml.safe_dump(_KUBELET)],
        "nodes": [
            {"role": "control-plane" if number == 0 else "worker", "image": versions.KIND_NODE_IMAGE}
            for number in range(nodes)
        ],
    }


def network_gateway(inspected: str) -> str:
    """The IPv4 gateway in what `docker network inspect` prints. Raises ClusterError when there is none."""
    for network in json.loads(inspected):
        for entry in network.get("IPAM", {}).get("Config") or []:
            gateway = entry.get("Gateway")
            if gateway and ipaddress.ip_address(gateway).version == 4:
                return str(gateway)
    raise ClusterError("Docker's network `kind` has no IPv4 gateway, so the nodes could not reach the registry")


def names(programs: Path) -> list[str]:
    """The clusters that kind has."""
    return run(programs / "kind", "get", "clusters").split()


def start(name: str, nodes: int | None, *, dual: bool = False) -> KindCluster:
    """Creates the cluster, or completes it; what a failed start has begun is removed."""
    cluster = KindCluster(name, tools.ensure(*TOOLS))
    cluster.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        cluster.create(nodes or DEFAULT_NODES, dual=dual)
    except BaseException:
        say("  the start failed; removing what was started")
        cluster.delete()
        raise
    return cluster


def stop(name: str) -> bool:
    """Deletes the cluster; False when there was none."""
    cluster = find(name)
    if cluster is not None:
        cluster.delete()
    return cluster is not None


def find(name: str) -> KindCluster | None:
    """The cluster of this name; None when kind has none."""
    if not paths.cluster(name).exists():
        return None
    return KindCluster(name, tools.ensure(*TOOLS))


def _container_runs(name: str) -> bool:
    return attempt("docker", "inspect", "--format={{.State.Running}}", name).stdout.strip() == "true"
