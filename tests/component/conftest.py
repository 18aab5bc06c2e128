"""Shared by component tests: one API server for all of them, with Ringfence's kinds installed."""

from collections.abc import Iterator

import pytest

from e2e.cluster.controlplane import ControlPlane
from tests.component import cluster


@pytest.fixture(scope="session")
def api_server() -> Iterator[ControlPlane]:
    """etcd and kube-apiserver with Ringfence's CRDs; namespaces can be deleted. Tests use namespaces of their own."""
    with ControlPlane("component", controllers=["namespace-controller"]) as running:
        cluster.install_crds(running)
        yield running
