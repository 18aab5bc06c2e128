"""The cluster of `make cluster` with Ringfence on it. Each scenario gets namespaces of its own, which go at its end."""

import itertools
from collections.abc import Callable, Iterator

import pytest

from e2e.cluster import backend
from e2e.demo import install
from e2e.demo.client import Client
from e2e.scenarios.support import Sandbox

Sandboxes = Callable[..., Sandbox]

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def cluster() -> backend.Cluster:
    """The running cluster."""
    return install.find_cluster()


@pytest.fixture(scope="session")
def admin(cluster: backend.Cluster) -> Client:
    """Its administrator."""
    return install.client(cluster)


@pytest.fixture(scope="session")
def image() -> str:
    """Ringfence's image of this checkout, in the cluster's registry, by digest."""
    return install.push_images()


@pytest.fixture(scope="session")
def ringfence(cluster: backend.Cluster, image: str) -> None:
    """Ringfence of this checkout, installed and ready."""
    install.install(cluster, image)
    install.wait_ready(cluster)


@pytest.fixture
def sandbox(cluster: backend.Cluster, admin: Client, ringfence: None) -> Iterator[Sandboxes]:
    """Makes namespaces, with labels if need be."""
    made: list[str] = []

    def make(name: str = "sandbox", **labels: str) -> Sandbox:
        unique = f"{name}-{next(_numbers)}"
        metadata = {"name": unique, "labels": {f"ringfence.dev/{key}": value for key, value in labels.items()}}
        made.append(unique)
        admin.run("delete", "namespace", unique, "--ignore-not-found")
        admin.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}])
        return Sandbox(admin, unique, install.agnhost(cluster))

    yield make
    if made:
        admin.run("delete", "namespace", *made, "--ignore-not-found", "--wait=false")
