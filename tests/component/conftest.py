"""Shared by component tests: one API server for all of them, with Ringfence's kinds installed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from e2e.cluster.controlplane import ControlPlane
from tests.component import cluster, proxy_net
from tests.component.proxy_net import Identities, Net


@pytest.fixture(scope="session")
def api_server() -> Iterator[ControlPlane]:
    """etcd and kube-apiserver with Ringfence's CRDs; namespaces can be deleted. Tests use namespaces of their own."""
    with ControlPlane("component", controllers=["namespace-controller"]) as running:
        cluster.install_crds(running)
        yield running


@pytest.fixture(scope="module")
def control_plane(request: pytest.FixtureRequest) -> Iterator[ControlPlane]:
    """The same for one module, which may stop it, and means all of it when it counts."""
    name = request.module.__name__.rpartition(".")[2].removeprefix("test_").replace("_", "-")
    with ControlPlane(name, controllers=["namespace-controller"]) as running:
        cluster.install_crds(running)
        yield running


@pytest.fixture(scope="module")
def net(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    """The network of a pod with a proxy, and of two callers: proxy_net.POD, WEB and API.

    A module's NETWORK, called with a directory, makes that module's instead.
    """
    own = getattr(request.module, "NETWORK", None)
    with (own or _network)(tmp_path_factory.mktemp("net")) as made:
        yield made


@contextmanager
def _network(directory: Path) -> Iterator[Net]:
    with proxy_net.network(directory) as made:
        made.give("pod", [proxy_net.POD])
        made.give("callers", [proxy_net.WEB, proxy_net.API])
        yield made


@pytest.fixture(scope="module")
def svids(net: Net) -> Identities:
    """Who signs in that network."""
    return Identities(net.directory, "cluster.local")
