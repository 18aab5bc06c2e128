"""The enforcer's life: closed until it knows the cluster, then always the rules for what it knows last.

Events only wake it up. It computes the whole table from all that it knows and loads it when it differs, so a missed
event, a restart or an event that says nothing new end in the same state.
"""

import http.client
import logging
import queue
import signal
import time
from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path
from types import FrameType

from e2e.enforcer import addresses, kernel, nft
from e2e.enforcer.addresses import RESULTS
from e2e.enforcer.api import ApiError, Server
from e2e.enforcer.model import Manifest, Network, NodeFacts, World, namespace_labels, pod_from
from e2e.enforcer.netns import Namespace
from e2e.enforcer.watch import Collection

LOG = logging.getLogger(__name__)
COALESCE_SECONDS = 0.01
"""Events come in groups (a pod and its policies); those that come this long after the first are one change."""
RETRY_SECONDS = 1.0


class Enforcer:
    """One node's enforcer; ``run`` returns after SIGTERM or SIGINT."""

    def __init__(
        self, server: Server, node: NodeFacts, namespaces: Sequence[Namespace | None] = (None,), results: Path = RESULTS
    ) -> None:
        """Enforce in each of ``namespaces`` (None: the caller's), with CNI results in ``results``."""
        self._node, self._targets = node, namespaces
        # Not a condition variable: a signal handler may put into this queue while the main thread waits on it.
        self._wake: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._pods = Collection(server, "/api/v1/pods", self._changed)
        self._namespaces = Collection(server, "/api/v1/namespaces", self._changed)
        self._policies = Collection(server, "/apis/networking.k8s.io/v1/networkpolicies", self._changed)
        self._addresses = addresses.Watcher(self._changed, results)
        self._rested = 0.0
        self._stopping = False

    def run(self) -> None:
        """Enforce until told to end, then take the table away. Raises KernelError if not even a first table loads."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        self._load(nft.render(World(), self._node))
        LOG.info("closed until the cluster is known; pods of this node: %s", _listed(self._node.pod_ranges))
        self._addresses.start()
        collections = (self._namespaces, self._pods, self._policies)
        for each in collections:
            each.start()
        in_force: World | None = None
        while self._next():
            if all(each.synced.is_set() for each in collections):
                in_force = self._enforce(in_force)
        self._load(nft.removal())
        LOG.info("table removed")

    def _next(self) -> bool:
        """Wait for something to happen, and for what comes with it; False when it is time to end."""
        self._wake.get()
        time.sleep(max(COALESCE_SECONDS, self._rested - time.monotonic()))
        while not self._wake.empty():
            self._wake.get()
        return not self._stopping

    def _enforce(self, in_force: World | None) -> World | None:
        """Bring the kernel up to date; returns the world whose rules are in force."""
        started = time.monotonic()
        world = self._world()
        if world == in_force:
            return in_force
        try:
            self._load(nft.render(world, self._node))
        except (kernel.KernelError, KeyError, ValueError) as error:
            LOG.warning("the last good rules stay in force: %s", error)
            time.sleep(RETRY_SECONDS)
            self._changed()
            return in_force
        ended = time.monotonic()
        # While changes keep coming, as much rest as work: the machine has other things to do.
        self._rested = ended + (ended - started)
        took = (ended - started) * 1000
        LOG.info("in force after %.0f ms: %d pods, %d policies", took, len(world.pods), len(world.policies))
        return world

    def _load(self, text: str) -> None:
        for each in self._targets:
            kernel.load(text, each)

    def _world(self) -> World:
        early = self._addresses.known()
        pods = [
            pod
            for each in sorted(self._pods.objects().values(), key=_by_age)
            if (pod := pod_from(each, early.get(each["metadata"]["uid"], ())))
        ]
        namespaces = {name: namespace_labels(each) for (_, name), each in self._namespaces.objects().items()}
        policies = [each for _, each in sorted(self._policies.objects().items())]
        # Only what the rules depend on, so that a change of anything else (a status, an annotation) is no change.
        slim = [
            {"metadata": {name: each["metadata"][name] for name in ("namespace", "name")}, "spec": each["spec"]}
            for each in policies
        ]
        return World(tuple(pods), namespaces, tuple(slim))

    def _changed(self) -> None:
        self._wake.put(True)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True
        self._changed()


def node_facts(server: Server, name: str) -> NodeFacts:
    """Return the facts of a node, waiting until it is registered and has its pod ranges. Raises ApiError."""
    while True:
        try:
            ranges = server.get(f"/api/v1/nodes/{name}")["spec"].get("podCIDRs") or []
        except ApiError as error:
            if error.code != http.HTTPStatus.NOT_FOUND:
                raise
            ranges = []
        except (OSError, http.client.HTTPException) as error:
            LOG.warning("the API server does not answer yet: %s", error)
            ranges = []
        if ranges:
            return NodeFacts(tuple(ip_network(each) for each in ranges))
        time.sleep(RETRY_SECONDS / 2)


def _by_age(manifest: Manifest) -> tuple[str, str, str]:
    """Older first: where two pods show one address, the younger has it."""
    metadata = manifest["metadata"]
    return metadata.get("creationTimestamp") or "", metadata["namespace"], metadata["name"]


def _listed(networks: tuple[Network, ...]) -> str:
    return ", ".join(map(str, networks))
