"""Shared by the tests of whole answers."""

import pytest

from tests.unit.webhook.fakes import FakeCluster, floor, shop


@pytest.fixture
def cluster() -> FakeCluster:
    """Namespace shop, closed, under a floor that asks for `restricted`."""
    return FakeCluster(shop(floor("floor", "restricted")))
