"""What the commands refuse to answer from."""

import pytest
from ringfence.cli import inputs, world
from ringfence.model.errors import CannotTell
from ringfence.model.world import Installation, World


def test_what_cannot_be_read_makes_its_namespace_undecided() -> None:
    loaded = world.Loaded(World(Installation()), unreadable=(("SecurityPolicy", "shop", "broken"),))
    inputs.must_be_readable(loaded, {"other"})
    with pytest.raises(CannotTell, match="SecurityPolicy shop/broken cannot be understood"):
        inputs.must_be_readable(loaded, {"shop"})
    floor = world.Loaded(World(Installation()), unreadable=(("ClusterSecurityPolicy", "", "floor"),))
    with pytest.raises(CannotTell, match="ClusterSecurityPolicy floor"):
        inputs.must_be_readable(floor, {"other"})
