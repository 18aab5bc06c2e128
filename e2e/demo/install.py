"""Ringfence on a test cluster, installed as a person would: by Helm, with the cluster's own image."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from e2e.cluster import backend, paths
from e2e.cluster.errors import ClusterError
from e2e.demo.client import Client, until

CHART = paths.REPOSITORY / "charts" / "ringfence"
NAMESPACE = "ringfence-system"
NODE_NAMESPACE = "ringfence-node"
RELEASE = "ringfence"
PROXYD = "ringfence-proxyd"
DEPLOYMENTS = ("ringfence-controller", "ringfence-webhook", PROXYD)
CLUSTER = os.environ.get("RINGFENCE_CLUSTER", "ringfence")
"""Which cluster the demo and the scenarios take, unless told otherwise."""
HURRIED_CA = {"ca.propagation": "20s", "ca.reissueWithin": "15s", "ca.maxTTL": "10m"}
"""A rotation in about a minute. The nodes' kubelets hand new files to pods within some eight seconds (e2e.cluster)."""

_RINGFENCE = re.compile(r"\S+/ringfence@sha256:[0-9a-f]{64}")


def client(cluster: backend.Cluster) -> Client:
    """The cluster's administrator."""
    return Client(cluster.programs, cluster.kubeconfig)


def find_cluster(name: str = CLUSTER) -> backend.Cluster:
    """The cluster that `make cluster` has started. Raises ClusterError when there is none."""
    cluster = backend.find(name)
    if cluster is None:
        raise ClusterError("there is no cluster; start it with: make cluster")
    return cluster


def agnhost(cluster: backend.Cluster) -> str:
    """The tests' Swiss knife in the cluster's registry."""
    return f"{cluster.registry}/agnhost:dev"


def push_images(name: str = CLUSTER) -> str:
    """Builds the images and pushes them to the cluster's registry, quickly when nothing has changed; the name of
    Ringfence's own with its digest. Raises ClusterError.
    """
    command = [sys.executable, "-m", "e2e.images", "push", f"--name={name}"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    pushed = [line for line in done.stdout.split() if _RINGFENCE.fullmatch(line)]
    if done.returncode != 0 or len(pushed) != 1:
        raise ClusterError("the images could not be built and pushed")
    return pushed[0]


def values(cluster: backend.Cluster, image: str, more: Mapping[str, Any] | None = None) -> list[str]:
    """Helm's flags: the image by its digest, which addresses are pods', proxies, and a CA that takes minutes, not a
    day.
    """
    repository, _, digest = image.partition("@")
    nodes = client(cluster).get("nodes")["items"]
    ranges = sorted({each for node in nodes for each in node["spec"].get("podCIDRs", [])})
    settings = {
        "image.repository": repository,
        "image.digest": digest,
        "network.podCIDRs": ranges,
        # What stands for the world outside has no global address.
        "network.hostOpenCIDRs": [f"{cluster.environment['RINGFENCE_OUTSIDE']}/32"],
        **HURRIED_CA,
        **with_proxies(cluster),
        **(more or {}),
    }
    return [part for key, value in settings.items() for part in ("--set-json", f"{key}={json.dumps(value)}")]


def install(cluster: backend.Cluster, image: str, more: Mapping[str, Any] | None = None, chart: Path = CHART) -> None:
    """Installs, or upgrades what is installed. Raises ClusterError."""
    # Uninstalled just before, it may still be going.
    until(lambda: not _goes(client(cluster), NODE_NAMESPACE), f"namespace {NODE_NAMESPACE} is gone", 90)
    client(cluster).helm(
        "upgrade",
        "--install",
        RELEASE,
        str(chart),
        f"--namespace={NAMESPACE}",
        "--create-namespace",
        *values(cluster, image, more),
    )


def with_proxies(cluster: backend.Cluster) -> dict[str, Any]:
    """Helm's values for the proxies, with their image in the cluster's registry."""
    return {
        "proxy.enabled": True,
        "proxy.image.repository": f"{cluster.registry}/ringfence-proxy",
        "proxy.image.tag": "dev",
    }


def wait_proxies_ready(cluster: backend.Cluster, within: float = 120) -> None:
    """Returns when proxyd serves and every node has its redirector. Raises ClusterError."""
    admin = client(cluster)
    for namespace, target in (
        (NAMESPACE, f"deployment/{PROXYD}"),
        (NODE_NAMESPACE, "daemonset/ringfence-node"),
    ):
        admin.run(
            "rollout", "status", f"--namespace={namespace}", target, f"--timeout={within:.0f}s", timeout=within + 10
        )


def uninstall(cluster: backend.Cluster, *flags: str) -> None:
    """`helm uninstall`. Raises ClusterError."""
    client(cluster).helm("uninstall", RELEASE, f"--namespace={NAMESPACE}", "--ignore-not-found", *flags)


def wait_ready(cluster: backend.Cluster, within: float = 120, *, proxies: bool = True) -> None:
    """Returns when all processes answer and the API server asks them. Raises ClusterError.

    ``proxies`` False where they are turned off.
    """
    admin = client(cluster)
    for each in (name for name in DEPLOYMENTS if proxies or name != PROXYD):
        target = f"deployment/{each}"
        timeout = f"--timeout={within:.0f}s"
        done = admin.attempt("rollout", "status", f"--namespace={NAMESPACE}", target, timeout, timeout=within + 10)
        if not done.ok:
            raise ClusterError(f"{each} is not ready: {done.message}\n{_why(admin, each)}")
    if proxies:
        wait_proxies_ready(cluster, within)
    until(lambda: _registered(admin), "the webhook configurations are written", within)
    # Those that leave still answer on connections that the API server holds, by the settings that they started with.
    until(lambda: not _leaving(admin), "the pods of before have ended", within)


def _goes(admin: Client, namespace: str) -> bool:
    found = admin.attempt("get", "namespace", namespace, "--output=jsonpath={.status.phase}")
    return found.ok and found.out == "Terminating"


def _registered(admin: Client) -> bool:
    kinds = ("validatingwebhookconfiguration", "mutatingwebhookconfiguration")
    return all(admin.attempt("get", kind, RELEASE).ok for kind in kinds)


def _leaving(admin: Client) -> list[str]:
    pods = admin.get("pods", f"--namespace={NAMESPACE}")["items"]
    return [each["metadata"]["name"] for each in pods if "deletionTimestamp" in each["metadata"]]


def _why(admin: Client, deployment: str) -> str:
    """What a person would look at next."""
    pods = admin.attempt("get", "pods", f"--namespace={NAMESPACE}", "--output=wide").out
    logs = admin.attempt("logs", f"--namespace={NAMESPACE}", f"deployment/{deployment}", "--tail=15")
    return f"{pods}{logs.out or logs.error}"
