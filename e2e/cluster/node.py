"""One node: a container runtime, a kubelet and a kube-proxy in namespaces of their own.

A node has its own network, mount and process namespace, like a machine has. Its programs use the usual paths
(/var/lib/kubelet, /run/containerd), which are its own directories there; and when the first process of its process
namespace ends, the kernel ends all others and takes the mounts away. Nothing needs to be found and cleaned up.
"""

import os
import socket
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import yaml

from e2e.cluster import cgroups, configuration, kubeconfig, network, paths, process
from e2e.cluster.apiserver import Trust
from e2e.cluster.files import put
from e2e.cluster.layout import Layout, Node
from e2e.cluster.process import Daemon

_OWN_DIRECTORIES = (
    "/var/lib/kubelet",
    "/var/lib/containerd",
    "/var/lib/cni",
    "/var/log/pods",
    "/var/log/containers",
    "/run/containerd",
    "/run/netns",
)

_ENTER_SCRIPT = """
mount --make-rshared /
while [ "$1" != -- ]; do mount --bind "$1" "$2"; shift 2; done
shift
exec "$@"
"""


@dataclass(frozen=True, slots=True)
class NodeRunner:
    """Starts and stops the programs of one node."""

    layout: Layout
    node: Node
    programs: Path

    def start(self, trust: Trust) -> None:
        """Starts the namespaces and what carries pods; the kubelet registers the node by itself."""
        self.start_namespaces()
        self._configure(trust)
        containerd = self._daemon("containerd", "containerd", "--config", f"{self._files}/containerd.toml")
        containerd.start()
        containerd.wait(self._runtime_answers, within=30)
        self._daemon(
            "kubelet",
            str(self.programs / "kubelet"),
            f"--config={self._files}/kubelet.yaml",
            f"--kubeconfig={self._files}/kubelet.kubeconfig",
            f"--hostname-override={self.node.name}",
            f"--node-ip={','.join(self.node.addresses)}",
        ).start()
        proxy = str(self.programs / "kube-proxy")
        self._daemon("kube-proxy", proxy, f"--config={self._files}/kube-proxy.yaml").start()

    def start_namespaces(self) -> None:
        """The node as an empty machine: its network, its directories, its first process, its cgroup."""
        self.node.directory.mkdir(parents=True, exist_ok=True)
        network.create_namespace(self.layout, self.node)
        cgroups.create(self.node.cgroup)
        binds: list[str] = []
        for path in _OWN_DIRECTORIES:
            own = self._own(path)
            own.mkdir(parents=True, exist_ok=True)
            _create_mount_point(Path(path), self.layout.directory)
            binds += [str(own), path]
        script = ("sh", "-ec", _ENTER_SCRIPT, "node")
        first = Daemon(
            "init",
            [*script, *binds, "--", str(self.programs / "pause")],
            self.node.directory,
            entering=(
                "nsenter",
                f"--net=/run/netns/{self.node.name}",
                "unshare",
                "--mount",
                "--pid",
                "--fork",
                "--mount-proc",
            ),
        )
        first.start()
        first.wait(lambda: Path(f"/proc/{first.pid()}/comm").read_text().strip() == "pause", within=10)

    def run(self, name: str, *argv: str, environment: dict[str, str] | None = None) -> Daemon:
        """A daemon inside the node, started."""
        daemon = self._daemon(name, *argv, environment=environment)
        daemon.start()
        return daemon

    def start_enforcer(self, kubeconfig_file: Path) -> None:
        """Starts what puts NetworkPolicies in force, when this checkout has it."""
        if not (paths.REPOSITORY / "e2e" / "enforcer" / "__main__.py").exists():
            return
        enforcer = (
            sys.executable,
            "-m",
            "e2e.enforcer",
            "--kubeconfig",
            str(kubeconfig_file),
            "--node",
            self.node.name,
        )
        search = os.pathsep.join([str(paths.REPOSITORY), os.environ.get("PYTHONPATH", "")])
        self.run("enforcer", *enforcer, environment={"PYTHONPATH": search.rstrip(os.pathsep), "PYTHONUNBUFFERED": "1"})

    def stop(self) -> None:
        """Ends every process of the node at once, and removes its cgroup."""
        process.stop_marked(self.node.directory / "init.pid", grace=5)
        for mark in self.node.directory.glob("*.pid"):
            process.stop_marked(mark)
        cgroups.remove(self.node.cgroup)

    def entering(self) -> tuple[str, ...]:
        """The command that runs what follows it inside the node."""
        first = Daemon("init", (), self.node.directory)
        return ("nsenter", "--target", str(first.pid()), "--net", "--mount", "--pid", "--")

    @property
    def _files(self) -> Path:
        return self.node.directory / "etc"

    def _runtime_answers(self) -> bool:
        # Through the node's own root: the path from outside may be longer than a socket's address may be.
        inside = f"/proc/{Daemon('init', (), self.node.directory).pid()}/root{configuration.CONTAINERD_SOCKET}"
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(inside) == 0

    def kubelet_answers(self) -> bool:
        """Whether the kubelet says that it is well."""
        try:
            with urllib.request.urlopen(f"http://{self.node.address}:10248/healthz", timeout=2) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    def _own(self, path: str) -> Path:
        return self.node.directory / "root" / path.lstrip("/")

    def _daemon(self, name: str, *argv: str, environment: dict[str, str] | None = None) -> Daemon:
        return Daemon(name, argv, self.node.directory, entering=self.entering(), environment=environment or {})

    def _configure(self, trust: Trust) -> None:
        files, node = self._files, self.node
        put(files / "ca.crt", trust.authority.pair.certificate.read_bytes())
        put(files / "resolv.conf", "# The outside has no names here.\n")
        put(files / "containerd.toml", configuration.containerd(self.layout, node))
        put(files / "cni" / "10-pods.conflist", configuration.cni(node))
        for name in (self.layout.registry, self.layout.registry_inside):
            put(files / "certs.d" / name / "hosts.toml", configuration.registry_hosts(self.layout))
        put(files / "kubelet.yaml", yaml.safe_dump(configuration.kubelet(self.layout, node)))
        put(files / "kube-proxy.yaml", yaml.safe_dump(configuration.kube_proxy(self.layout, node)))
        self._issue(trust)

    def _issue(self, trust: Trust) -> None:
        node = self.node
        kubelet = trust.authority.issue(
            f"kubelet-{node.number}",
            user=f"system:node:{node.name}",
            groups=["system:nodes"],
            hosts=[f"DNS:{node.name}", f"IP:{node.address}"],
        )
        proxy = trust.authority.issue("kube-proxy", user="system:kube-proxy")
        put(self._files / "kubelet.crt", kubelet.certificate.read_bytes())
        put(self._files / "kubelet.key", kubelet.key.read_bytes(), mode=0o600)
        for name, user in (("kubelet", kubelet), ("kube-proxy", proxy)):
            kubeconfig.write(
                self._files / f"{name}.kubeconfig",
                server=self.layout.server,
                authority=trust.authority.pair.certificate,
                user=user,
                name=self.layout.name,
            )


def _create_mount_point(path: Path, record: Path) -> None:
    """Makes a directory to mount over, and remembers each that was not there, so that it can be removed again."""
    missing = [each for each in (path, *path.parents) if not each.exists()]
    if missing:
        path.mkdir(parents=True)
        with (record / "mount-points").open("a") as stream:
            stream.writelines(f"{each}\n" for each in missing)


def remove_mount_points(record: Path) -> None:
    """Removes the directories that were made to mount over, where they are still empty."""
    file = record / "mount-points"
    if not file.exists():
        return
    for line in file.read_text().splitlines():
        try:
            Path(line).rmdir()
        except OSError:
            continue
