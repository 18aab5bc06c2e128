"""The cluster on this machine without Docker: who starts what, in which order, and how it is taken down again."""

import os
import shutil
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster import (
    apiserver,
    debian,
    kubeconfig,
    kubectl,
    manifests,
    network,
    node,
    paths,
    process,
    state,
    sysctl,
    tools,
)
from e2e.cluster.apiserver import Trust
from e2e.cluster.errors import ClusterError
from e2e.cluster.layout import DEFAULT_NODES, Layout, registry_port
from e2e.cluster.node import NodeRunner
from e2e.cluster.process import Daemon
from e2e.cluster.progress import say, step
from e2e.cluster.state import Remembered
from e2e.images import registry, static

TOOLS = (tools.CONTROL, tools.NODE, tools.CONTENT, tools.HELM)


@dataclass(frozen=True, slots=True)
class LocalCluster:
    """One cluster on this machine."""

    layout: Layout
    programs: Path

    @property
    def kubeconfig(self) -> Path:
        """A cluster administrator's kubeconfig."""
        return self.layout.directory / "kubeconfig"

    def up(self) -> None:
        """Starts what does not run; returns when nodes and DNS are ready. Raises ClusterError."""
        sysctl.raise_limits(self.layout.directory)
        network.create_bridge(self.layout)
        self._start_registry()
        with ThreadPoolExecutor(1) as pool:
            pushed = pool.submit(self.load_static_images)
            trust = self._start_control_plane()
            pushed.result()
        with step(f"starting {self.layout.node_count} node(s)"):
            for runner in self._runners():
                runner.start(trust)
            for runner in self._runners():
                self._register(runner)
            self._kubectl().apply(manifests.base(self.layout))
            for runner in self._runners():
                runner.start_enforcer(self.kubeconfig)
        with step("waiting for DNS"):
            self._kubectl().run("rollout", "status", "--namespace=kube-system", "deployment/coredns", "--timeout=90s")

    def load_static_images(self) -> None:
        """Puts the images that hold one program each into the cluster's registry."""
        for image in static.IMAGES:
            layout = static.build(image, self.programs / image.name)
            registry.push(self.programs / "crane", layout, f"{self.layout.registry}/{image.name}:dev")

    def down(self) -> None:
        """Ends everything, and removes every trace outside the caches. Works on half a cluster, too."""
        for runner in reversed(self._runners()):
            runner.stop()
        process.stop_marked(self.layout.directory / "registry.pid")
        network.delete(self.layout)
        sysctl.restore(self.layout.directory)
        node.remove_mount_points(self.layout.directory)
        shutil.rmtree(self.layout.directory)

    def status(self) -> list[tuple[str, bool]]:
        """Each program that was started, and whether it runs."""
        marks = self._marks()
        return [(f"{mark.parent.name}/{mark.stem}", Daemon(mark.stem, (), mark.parent).running()) for mark in marks]

    def kill(self, part: str) -> None:
        """Ends one program by force; `start` brings it back. Raises ClusterError when it was never started."""
        found = [mark for mark in self._marks() if f"{mark.parent.name}/{mark.stem}" == part]
        if not found:
            raise ClusterError(f"there is no part {part}; see: python -m e2e.cluster status --name {self.layout.name}")
        mark, text = found[0], found[0].read_text()
        process.stop_marked(mark, grace=0)
        mark.write_text(text)  # so that `status` tells what is missing

    @property
    def registry(self) -> str:
        """What the names of images begin with."""
        return self.layout.registry

    @property
    def registry_inside(self) -> str:
        """The same registry as pods reach it."""
        return self.layout.registry_inside

    @property
    def environment(self) -> dict[str, str]:
        """Facts for scripts and tests."""
        return {
            "RINGFENCE_POD_CIDR": self.layout.pod_cidr,
            "RINGFENCE_SERVICE_CIDR": self.layout.service_cidr,
            "RINGFENCE_OUTSIDE": self.layout.outside_address,
        }

    def load(self, layout: Path, reference: str) -> str:
        """Puts an image into the registry; returns its name with its digest."""
        return registry.push(self.programs / "crane", layout, f"{self.layout.registry}/{reference}")

    def entering(self, number: int) -> tuple[str, ...]:
        """The command that runs what follows it inside a node. Raises ClusterError when there is no such node."""
        if not 1 <= number <= self.layout.node_count:
            raise ClusterError(f"there is no node {number}; this cluster has {self.layout.node_count}")
        return self.runner(number).entering()

    def runner(self, number: int) -> NodeRunner:
        """One node's runner, by its number from 1."""
        return NodeRunner(self.layout, self.layout.nodes[number - 1], self.programs)

    def _runners(self) -> list[NodeRunner]:
        return [NodeRunner(self.layout, each, self.programs) for each in self.layout.nodes]

    def _marks(self) -> list[Path]:
        directories = [self.layout.directory, *(each.directory for each in self.layout.nodes)]
        return sorted(mark for directory in directories for mark in directory.glob("*.pid"))

    def _kubectl(self) -> kubectl.Kubectl:
        return kubectl.Kubectl(self.programs / "kubectl", self.kubeconfig)

    def _start_registry(self) -> None:
        port = self.layout.registry_port
        addresses = f"127.0.0.1:{port},{self.layout.registry_inside}"
        blobs = self.layout.directory / "registry"
        blobs.mkdir(exist_ok=True)
        command = (str(self.programs / "registry"), f"-addresses={addresses}", f"-directory={blobs}")
        daemon = Daemon("registry", command, self.layout.directory)
        daemon.start()
        daemon.wait(lambda: registry.answers(self.layout.registry), within=10)

    def _start_control_plane(self) -> Trust:
        first, endpoints = self.runner(1), self.layout.endpoints
        trust = apiserver.create_trust(self.layout.directory / "pki", endpoints)
        with step("starting etcd and kube-apiserver"):
            first.start_namespaces()
            data = self.layout.directory / "etcd"
            first.run("etcd", *apiserver.etcd_arguments(self.programs / "etcd", data, trust, endpoints))
            command = apiserver.apiserver_arguments(self.programs / "kube-apiserver", trust, endpoints, "0.0.0.0", ())
            server = first.run("kube-apiserver", *command)
            server.wait(lambda: apiserver.is_ready(trust, endpoints), within=90)
        ca = trust.authority.pair.certificate
        kubeconfig.write(
            self.kubeconfig, server=self.layout.server, authority=ca, user=trust.admin, name=self.layout.name
        )
        for name, arguments in (
            ("kube-controller-manager", self._manager_arguments(trust)),
            ("kube-scheduler", []),
        ):
            user = trust.authority.issue(name, user=f"system:{name}")
            file = self.layout.directory / "pki" / f"{name}.kubeconfig"
            kubeconfig.write(file, server=self.layout.server, authority=ca, user=user, name=self.layout.name)
            first.run(name, str(self.programs / name), f"--kubeconfig={file}", "--leader-elect=false", *arguments)
        return trust

    def _manager_arguments(self, trust: Trust) -> list[str]:
        authority = trust.authority.pair
        return [
            f"--root-ca-file={authority.certificate}",
            f"--cluster-signing-cert-file={authority.certificate}",
            f"--cluster-signing-key-file={authority.key}",
            f"--service-account-private-key-file={trust.service_accounts.key}",
            "--use-service-account-credentials",
            "--controllers=*,-node-ipam-controller,-node-route-controller",
        ]

    def _register(self, runner: NodeRunner) -> None:
        """Waits for the node, gives it its range of pod addresses, and waits until it takes pods."""
        client, name = self._kubectl(), runner.node.name
        kubelet = Daemon("kubelet", (), runner.node.directory)
        kubelet.wait(runner.kubelet_answers, within=60)
        kubelet.wait(lambda: client.succeeds("get", "node", name), within=60)
        ranges = {"podCIDR": runner.node.pod_cidr, "podCIDRs": list(runner.node.pod_cidrs)}
        client.merge(f"node/{name}", {"spec": ranges})
        client.run("wait", f"node/{name}", "--for=condition=Ready", "--timeout=60s")


def start(name: str, nodes: int | None, *, dual: bool = False) -> LocalCluster:
    """Starts the cluster of this name, or completes it when it runs; what a failed start has begun is removed.

    `dual` gives a new one IPv6 beside IPv4; one that runs without is an error.
    """
    if os.geteuid() != 0:
        raise ClusterError(
            "a node needs root (namespaces, mounts, cgroups); run this as root, or start a Docker engine"
        )
    debian.ensure()
    programs = tools.ensure(*TOOLS)
    with _locked():
        running = _running(name, nodes, programs, dual=dual)
        cluster = running or _new(name, nodes or DEFAULT_NODES, programs, dual=dual)
        try:
            cluster.up()
        except BaseException:
            if running is None:
                say("  the start failed; removing what was started")
                cluster.down()
            raise
    return cluster


def stop(name: str) -> bool:
    """Takes the cluster down; False when there was none."""
    with _locked():
        cluster = find(name)
        if cluster is not None:
            cluster.down()
    return cluster is not None


def find(name: str) -> LocalCluster | None:
    """The cluster of this name, running or not; None when there is none."""
    remembered = state.load(paths.cluster(name))
    return LocalCluster(remembered.layout, remembered.programs) if remembered else None


def _running(name: str, nodes: int | None, programs: Path, *, dual: bool) -> LocalCluster | None:
    """The cluster, when it runs; what a stopped one has left is removed."""
    cluster = find(name)
    if cluster is None:
        return None
    if not Daemon("init", (), cluster.layout.nodes[0].directory).running():
        say("  removing what a stopped cluster has left")
        cluster.down()
        return None
    if nodes not in (None, cluster.layout.node_count):
        raise ClusterError(
            f"cluster {name} runs with {cluster.layout.node_count} node(s), not {nodes}; "
            f"take it down first: python -m e2e.cluster down --name {name}"
        )
    if dual and not cluster.layout.dual:
        raise ClusterError(
            f"cluster {name} runs without IPv6; take it down first: python -m e2e.cluster down --name {name}"
        )
    Remembered(cluster.layout, programs).save()
    return LocalCluster(cluster.layout, programs)


def _new(name: str, nodes: int, programs: Path, *, dual: bool) -> LocalCluster:
    layout = state.plan(paths.cluster(name), nodes, _in_use, dual=dual)
    Remembered(layout, programs).save()
    return LocalCluster(layout, programs)


def _in_use(index: int) -> bool:
    """Whether something else on this machine has the interface or the port of this cluster number."""
    with socket.socket() as probe:
        taken = probe.connect_ex(("127.0.0.1", registry_port(index))) == 0
    return taken or network.bridge_in_use(index)


def _locked() -> AbstractContextManager[None]:
    return tools.lock(paths.cache() / "cluster.lock", "another process starts or stops a cluster; waiting for it")
