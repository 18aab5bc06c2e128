"""The ground of real pods: on a cluster that enforces NetworkPolicies, judged from inside the pods' own networks.

The pods only hold their networks open; servers and clients are put into them from outside, by this process, so a whole
matrix takes a fraction of a second. That needs root on the machine on which the pods run: the local node's, or kind's.
"""

import re
import time
from collections.abc import Callable, Collection, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self, TypeVar

from e2e.enforcer.api import ApiError, Server
from e2e.enforcer.model import Manifest
from e2e.enforcer.netns import Namespace
from e2e.netpol import state
from e2e.netpol.expect import Kind, Place
from e2e.netpol.prober import Attempt, Prober, Site
from e2e.netpol.state import State

OWNER = "e2e.ringfence.dev/owner"
"""Annotation on the namespaces that this program may delete."""
SPACES = (*state.NAMESPACES, "w", "y-2")
"""Every namespace that a case may make."""
SETTLE_SECONDS = 0.2
"""A change should be in force by then; if it is not, probing goes on for ``patience``, and the step counts as late."""
READY_SECONDS = 120.0
POLL_SECONDS = 0.1
_Key = TypeVar("_Key")
_Value = TypeVar("_Value")
_APPLY = "?fieldManager=netpol&force=true"


class ClusterGroundError(Exception):
    """The cluster cannot serve as a ground; the message says why."""


class ClusterGround:
    """Real pods. Entering makes those of the initial state; leaving deletes the namespaces and waits for that."""

    patience = 10.0

    def __init__(self, server: Server, image: str) -> None:
        """Use pods of ``image``, which must run for ever on the argument ``pause``."""
        self.title = f"real pods at {server.host}"
        self._server, self._image = server, image
        self._prober = Prober(state.PORTS)
        self._sites: dict[str, Site] = {}
        self._places: dict[str, Place] = {}
        self._nodes: list[str] = []
        self._now = State({}, {}, {})

    def __enter__(self) -> Self:
        self._clear()
        try:
            self._add_nodes()
            self.become(state.initial())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._prober.close()
        for site in self._sites.values():
            site.namespace.close()
        self._clear()

    @property
    def places(self) -> Mapping[str, Place]:
        """Every place that probes go from and to, by name."""
        return self._places

    def become(self, wanted: State) -> None:
        """Write what differs from what was wanted before, and wait for new pods to run. Raises ApiError."""
        before, self._now = self._now, wanted
        for namespace, name in before.policies.keys() - wanted.policies.keys():
            self._delete(_policy_path(namespace, name))
        for name in before.pods.keys() - wanted.pods.keys():
            self._remove_pod(name)
        for name in before.namespaces.keys() - wanted.namespaces.keys():
            self._delete(f"/api/v1/namespaces/{name}")
        for name, labels in _changes(before.namespaces, wanted.namespaces):
            self._namespace(name, labels)
        made = [self._pod(name, labels) for name, labels in _changes(before.pods, wanted.pods)]
        for (namespace, name), policy in _changes(before.policies, wanted.policies):
            self._apply(_policy_path(namespace, name), _clean(policy))
        for name in filter(None, made):
            self._add_pod(name)
        if before != wanted:
            time.sleep(SETTLE_SECONDS)

    def reached(self, tried: Collection[Attempt], expected: Collection[Attempt]) -> set[Attempt]:
        """Probe by packets."""
        return self._prober.reached(tried, expected)

    def _clear(self) -> None:
        """Delete what this or an earlier run made, and wait until it is gone."""
        for name in SPACES:
            path = f"/api/v1/namespaces/{name}"
            found = self._find(path)
            if found is None:
                continue
            if OWNER not in (found["metadata"].get("annotations") or {}):
                raise ClusterGroundError(f"namespace {name} is there already and not of this program's making")
            for pod in self._server.get(f"{path}/pods")["items"]:
                self._delete(f"{path}/pods/{pod['metadata']['name']}")
            self._delete(path)
        for name in SPACES:
            self._wait_gone(name)

    def _namespace(self, name: str, labels: Mapping[str, str]) -> None:
        body = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "labels": labels, "annotations": {OWNER: "netpol"}},
        }
        path = f"/api/v1/namespaces/{name}"
        found = self._find(path)
        if found and found["metadata"].get("deletionTimestamp"):
            self._wait_gone(name)
        self._apply(path, body)

    def _pod(self, key: str, labels: Mapping[str, str]) -> str | None:
        """Make a pod or change its labels; returns the key of a new one."""
        namespace, _, name = key.partition("/")
        path = f"/api/v1/namespaces/{namespace}/pods"
        if key in self._sites:
            found = self._server.get(f"{path}/{name}")["metadata"].get("labels") or {}
            gone = dict.fromkeys(found.keys() - labels.keys())
            patch = {"metadata": {"labels": {**gone, **labels}}}
            self._server.send("PATCH", f"{path}/{name}", patch, "application/merge-patch+json")
            return None
        # By the pod's name, so that namespaces and selectors both cut across the nodes.
        node = self._nodes[ord(name[-1]) % len(self._nodes)]
        self._server.send("POST", path, _pod_manifest(namespace, name, labels, self._image, node))
        return key

    def _add_pod(self, key: str) -> None:
        """Wait for a pod to run, then serve in its network."""
        namespace, _, name = key.partition("/")
        path = f"/api/v1/namespaces/{namespace}/pods/{name}"
        self._wait(f"pod {key} to run", lambda: self._server.get(path)["status"].get("phase") == "Running")
        pod = self._server.get(path)
        site = Site(key, Namespace.at(f"/proc/{_process(pod['metadata']['uid'])}/ns/net"), pod["status"]["podIP"])
        self._sites[key] = site
        self._prober.add(site)
        self._places[key] = Place(key, Kind.POD, site.address, pod["spec"]["nodeName"])

    def _remove_pod(self, key: str) -> None:
        namespace, _, name = key.partition("/")
        self._prober.remove(key)
        self._sites.pop(key).namespace.close()
        del self._places[key]
        self._delete(f"/api/v1/namespaces/{namespace}/pods/{name}")

    def _add_nodes(self) -> None:
        """Use the nodes as places too, where their networks have a name (not on kind)."""
        for node in self._server.get("/api/v1/nodes")["items"]:
            name = node["metadata"]["name"]
            self._nodes.append(name)
            entrance = Path("/run/netns") / name
            if entrance.exists():
                address = next(each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP")
                site = Site(name, Namespace.at(entrance), address)
                self._sites[name] = site
                self._prober.add(site)
                self._places[name] = Place(name, Kind.NODE, address, name)

    def _apply(self, path: str, body: Manifest) -> None:
        self._server.send("PATCH", path + _APPLY, body, "application/apply-patch+yaml")

    def _delete(self, path: str) -> None:
        self._ask("DELETE", path, {"gracePeriodSeconds": 0})

    def _find(self, path: str) -> Any:
        return self._ask("GET", path)

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request; None when there is no such object."""
        try:
            return self._server.send(method, path, body)
        except ApiError as error:
            if error.code == HTTPStatus.NOT_FOUND:
                return None
            raise

    def _wait_gone(self, name: str) -> None:
        self._wait(f"namespace {name} to go", lambda: self._find(f"/api/v1/namespaces/{name}") is None)

    def _wait(self, what: str, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not done():
            if time.monotonic() > deadline:
                raise ClusterGroundError(f"waited {READY_SECONDS:.0f} s for {what}")
            time.sleep(POLL_SECONDS)


def _changes(before: Mapping[_Key, _Value], after: Mapping[_Key, _Value]) -> list[tuple[_Key, _Value]]:
    return [(key, value) for key, value in after.items() if key not in before or before[key] != value]


def _policy_path(namespace: str, name: str) -> str:
    return f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies/{name}"


def _clean(policy: Manifest) -> Manifest:
    """Without the empty creation time that Go's encoder writes."""
    metadata = {key: value for key, value in policy["metadata"].items() if value is not None}
    return {**policy, "metadata": metadata}


def _pod_manifest(namespace: str, name: str, labels: Mapping[str, str], image: str, node: str) -> Manifest:
    ports = [
        {"name": state.port_name(port, protocol), "containerPort": port, "protocol": protocol}
        for port in state.PORTS
        for protocol in state.PROTOCOLS
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": namespace, "name": name, "labels": labels},
        "spec": {
            "nodeName": node,
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "holder", "image": image, "args": ["pause"], "ports": ports}],
        },
    }


def is_of_pod(cgroup: str, uid: str) -> bool:
    """Return whether a process whose /proc/PID/cgroup says ``cgroup`` belongs to the pod.

    A part of the path is ``podUID``; under the systemd driver it ends in ``-podUID.slice``, with ``_`` for ``-``.
    """
    spelled = f"{re.escape(uid)}|{re.escape(uid.replace('-', '_'))}"
    return re.search(rf"[/-]pod(?:{spelled})(?:\.slice)?(?:/|$)", cgroup, re.MULTILINE) is not None


def _process(uid: str) -> int:
    """Return a process of the pod."""
    for path in Path("/proc").glob("[0-9]*/cgroup"):
        try:
            text = path.read_text()
        except OSError:
            continue
        if is_of_pod(text, uid):
            return int(path.parent.name)
    raise ClusterGroundError(
        f"no process of pod {uid} on this machine: run as root on the machine on which the cluster's pods run"
    )
