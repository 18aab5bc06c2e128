"""The cluster of `make cluster` with Ringfence on it. Each scenario gets namespaces of its own, which go at its end."""

import itertools
from collections.abc import Callable, Iterator

import pytest

from e2e.cluster import backend
from e2e.demo import install, people, shop
from e2e.demo.client import Client, until
from e2e.scenarios.support import Sandbox
from e2e.traffic import place
from e2e.traffic.place import Place

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


@pytest.fixture(scope="session")
def proxies(image: str, ringfence: None) -> str:
    """Ringfence with its proxies; the image that the programs run on."""
    del ringfence
    return image


@pytest.fixture(scope="session")
def traffic(cluster: backend.Cluster, admin: Client, image: str, ringfence: None) -> Iterator[Place]:
    """A closed namespace with a server of all kinds of traffic, and who may and may not call it."""
    del ringfence
    with place.opened(cluster, admin, image) as made:
        yield made


@pytest.fixture(scope="session")
def opened_shop(cluster: backend.Cluster, admin: Client, ringfence: None) -> Iterator[Client]:
    """examples/shop, running, and the rights of its admin."""
    admin.apply([*shop.objects(install.agnhost(cluster)), *people.rights()])
    shop.wait_ready(admin)
    until(lambda: all(Sandbox(admin, each, "").is_closed() for each in shop.CLOSED), "the shop is closed")
    yield admin
    admin.run("delete", "clustersecuritypolicy", "floor", "--ignore-not-found")
    admin.run("delete", "clusterrole,clusterrolebinding", "demo-own-namespaces", "--ignore-not-found")
    admin.run("delete", "namespace", *shop.NAMESPACES, "--ignore-not-found", timeout=180)


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
