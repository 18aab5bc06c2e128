"""The flavour without a node: etcd and kube-apiserver on loopback, for component tests, up in seconds.

Several may run at once, each with ports and files of its own. One whose owner was killed is swept away by the next that
starts, so that nothing is left behind for long.
"""

import contextlib
import itertools
import json
import os
import shutil
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from e2e.cluster import apiserver, debian, kubeconfig, paths, ports, process, tools
from e2e.cluster.apiserver import Endpoints
from e2e.cluster.errors import ClusterError
from e2e.cluster.process import Daemon

_counter = itertools.count()
_START_SECONDS = 240.0
_ATTEMPTS = 3

AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}
"""One line for each request (a watch has two), without bodies: enough to count who asked for what."""


class ControlPlane:
    """A context manager around one API server and its etcd.

    There is no kube-controller-manager: namespaces get no `default` ServiceAccount and do not finish deleting, nobody
    collects garbage, and pods stay Pending. `controllers` names those that a test wants (as --controllers takes them).
    """

    def __init__(
        self,
        name: str = "component",
        *,
        audit_log: Path | None = None,
        arguments: Sequence[str] = (),
        controllers: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`arguments` are added to the API server's own; `audit_log` gets one JSON line for each request."""
        self._name = paths.checked_name(name)
        self._directory = _home() / f"{self._name}-{os.getpid()}-{next(_counter)}"
        self._audit_log = audit_log
        self._arguments = tuple(arguments)
        self._controllers = tuple(controllers)
        self._environment = dict(environment or {})
        self._endpoints: Endpoints | None = None
        self._apiserver: Daemon | None = None
        self._lock = threading.Lock()

    @property
    def kubeconfig(self) -> Path:
        """A cluster administrator's kubeconfig."""
        return self._directory / "kubeconfig"

    @property
    def directory(self) -> Path:
        """Holds the logs (kube-apiserver.log, etcd.log) and pki/ (ca.crt, ca.key and the rest)."""
        return self._directory

    @property
    def port(self) -> int:
        """The API server's port on 127.0.0.1; the same after stop and start."""
        return self._started().port

    @property
    def server(self) -> str:
        """The API server's URL."""
        return f"https://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Starts both programs and returns when the API server is ready. Raises ClusterError."""
        debian.ensure(["openssl"])
        programs = tools.ensure(tools.CONTROL, *([tools.NODE] if self._controllers else []))
        sweep()
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._start(programs)
            except ClusterError as error:
                self.stop()
                # Between choosing a free port and listening on it somebody else may take it.
                if attempt == _ATTEMPTS or "address already in use" not in str(error):
                    raise
            except BaseException:
                self.stop()
                raise
            else:
                return

    def stop(self) -> None:
        """Ends both programs at once and removes their files: nothing of a test's data is worth a clean ending."""
        for mark in sorted(self._directory.glob("*.pid"), reverse=True):
            process.stop_marked(mark, grace=0.5)
        shutil.rmtree(self._directory, ignore_errors=True)

    def stop_apiserver(self, *, grace: float = 0.0) -> None:
        """Kills the API server (after `grace` seconds in which it may end by itself); etcd keeps its data."""
        with self._lock:
            self._daemon().stop(grace)

    def start_apiserver(self) -> None:
        """Starts the API server again on the same port and waits until it is ready."""
        with self._lock:
            daemon = self._daemon()
            daemon.start()
            trust = apiserver.create_trust(self._directory / "pki", self._started())
            daemon.wait(lambda: apiserver.is_ready(trust, self._started()), within=_START_SECONDS)

    def _start(self, programs: Path) -> None:
        self._directory.mkdir(parents=True, mode=0o700)
        _mark_owner(self._directory)
        endpoints = self._endpoints = _free_endpoints()
        trust = apiserver.create_trust(self._directory / "pki", endpoints)
        data = self._directory / "etcd"
        etcd = Daemon("etcd", apiserver.etcd_arguments(programs / "etcd", data, trust, endpoints), self._directory)
        etcd.start()
        arguments = [*self._audit_arguments(), *self._arguments]
        command = apiserver.apiserver_arguments(programs / "kube-apiserver", trust, endpoints, "127.0.0.1", arguments)
        self._apiserver = Daemon("kube-apiserver", command, self._directory, environment=self._environment)
        self.start_apiserver()
        kubeconfig.write(
            self.kubeconfig,
            server=self.server,
            authority=trust.authority.pair.certificate,
            user=trust.admin,
            name=self._name,
        )
        if self._controllers:
            self.start_controllers(self._controllers)

    def start_controllers(
        self, controllers: Sequence[str], *, name: str = "kube-controller-manager", as_themselves: bool = False
    ) -> None:
        """Runs these controllers, beside those that run already under another `name`.

        `as_themselves`: each under its ServiceAccount in kube-system, as in a real cluster, not as an administrator.
        """
        programs = tools.ensure(tools.CONTROL, tools.NODE)
        trust = apiserver.create_trust(self._directory / "pki", self._started())
        command = [
            str(programs / "kube-controller-manager"),
            f"--kubeconfig={self.kubeconfig}",
            f"--controllers={','.join(controllers)}",
            "--leader-elect=false",
            "--secure-port=0",
            f"--root-ca-file={trust.authority.pair.certificate}",
            f"--service-account-private-key-file={trust.service_accounts.key}",
            f"--use-service-account-credentials={str(as_themselves).lower()}",
        ]
        Daemon(name, command, self._directory).start()

    def _audit_arguments(self) -> list[str]:
        if self._audit_log is None:
            return []
        policy = self._directory / "audit-policy.json"
        policy.write_text(json.dumps(AUDIT_POLICY))
        return [f"--audit-log-path={self._audit_log}", f"--audit-policy-file={policy}", "--audit-log-mode=blocking"]

    def _started(self) -> Endpoints:
        if self._endpoints is None:
            raise ClusterError("the control plane was not started; use it as a context manager")
        return self._endpoints

    def _daemon(self) -> Daemon:
        if self._apiserver is None:
            raise ClusterError("the control plane was not started; use it as a context manager")
        return self._apiserver


def sweep() -> None:
    """Ends and removes control planes whose owner is gone."""
    for directory in _home().glob("*"):
        with contextlib.suppress(OSError, ValueError, KeyError):
            owner = json.loads((directory / "owner.json").read_text())
            if process.start_time(owner["pid"]) == owner["start"]:
                continue
            for mark in directory.glob("*.pid"):
                process.stop_marked(mark, grace=0.5)
            shutil.rmtree(directory, ignore_errors=True)


def _home() -> Path:
    return paths.cache() / "controlplane"


def _mark_owner(directory: Path) -> None:
    (directory / "owner.json").write_text(json.dumps({"pid": os.getpid(), "start": process.start_time(os.getpid())}))


def _free_endpoints() -> Endpoints:
    port, etcd_port, etcd_peer_port = ports.free(3)
    return Endpoints("127.0.0.1", port, etcd_port, etcd_peer_port, "10.96.0.0/16", "10.96.0.1")
