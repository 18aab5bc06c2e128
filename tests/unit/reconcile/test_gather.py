"""The caches as a World: parsed once, invalid ones in their last good version, read as they are now."""

from collections.abc import Mapping
from typing import Any

from ringfence import api
from ringfence.model.errors import FieldError, InvalidResource
from ringfence.model.resources import SecurityPolicy, ServiceIdentity
from ringfence.model.world import Enrolment, Installation
from ringfence.reconcile import gather

from tests.unit.reconcile import fakes


class Counting:
    """A parser that counts, and refuses what says so."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, obj: Mapping[str, Any]) -> str:
        self.calls += 1
        if obj["spec"].get("broken"):
            raise InvalidResource(obj["kind"], obj["metadata"]["name"], (FieldError("spec", "is broken"),))
        return f"{obj['metadata']['name']}-{obj['spec'].get('value', 0)}"


def parsed(cluster: fakes.FakeCluster) -> tuple[gather.Parsed[str], Counting]:
    parser = Counting()
    return gather.Parsed(cluster.lister("ServiceIdentity"), parser), parser


def test_each_version_is_parsed_once() -> None:
    cluster = fakes.FakeCluster()
    cluster.put(fakes.identity("shop", "b"), fakes.identity("shop", "a"))
    held, parser = parsed(cluster)
    assert held.of("shop") == ("a-0", "b-0")
    assert held.get("shop", "a") == "a-0"
    assert parser.calls == 2
    cluster.put(fakes.identity("shop", "a", value=1))
    assert held.of("shop") == ("a-1", "b-0")
    assert parser.calls == 3


def test_a_write_to_the_status_is_no_new_version() -> None:
    cluster = fakes.FakeCluster()
    cluster.put(fakes.identity("shop", "a"))
    held, parser = parsed(cluster)
    held.of("shop")
    cluster.put(fakes.identity("shop", "a") | {"status": {"x": 1}})
    held.of("shop")
    assert parser.calls == 1


def test_an_invalid_version_leaves_the_last_good_one_in_force() -> None:
    cluster = fakes.FakeCluster()
    cluster.put(fakes.identity("shop", "a", value=1))
    held, _ = parsed(cluster)
    held.of("shop")
    cluster.put(fakes.identity("shop", "a", value=2, broken=True))
    assert held.of("shop") == ("a-1",)
    assert held.get("shop", "a") == "a-1"
    ((obj, error),) = held.errors("shop")
    assert (obj["metadata"]["name"], str(error.errors[0])) == ("a", "spec: is broken")
    assert held.in_force("shop", "a")
    # Invalid once more, still the same last good version.
    cluster.put(fakes.identity("shop", "a", value=3, broken=True))
    assert held.of("shop") == ("a-1",)
    cluster.put(fakes.identity("shop", "a", value=4))
    assert held.of("shop") == ("a-4",)
    assert held.errors("shop") == ()


def test_what_was_never_good_is_absent() -> None:
    cluster = fakes.FakeCluster()
    cluster.put(fakes.identity("shop", "a", broken=True))
    held, _ = parsed(cluster)
    assert held.of("shop") == ()
    assert held.get("shop", "a") is None
    assert not held.in_force("shop", "a")
    assert len(held.errors("shop")) == 1


def test_a_namesake_does_not_inherit_the_last_good_version() -> None:
    cluster = fakes.FakeCluster()
    cluster.put(fakes.identity("shop", "a", value=1))
    held, _ = parsed(cluster)
    held.of("shop")
    del cluster.objects["ServiceIdentity", "shop", "a"]
    cluster.put(fakes.identity("shop", "a", broken=True))
    assert held.of("shop") == ()


def test_deleted_resources_are_forgotten() -> None:
    cluster = fakes.FakeCluster()
    cluster.put(fakes.identity("shop", "a"))
    held, _ = parsed(cluster)
    held.of("shop")
    del cluster.objects["ServiceIdentity", "shop", "a"]
    assert held.of("shop") == ()
    assert held.get("shop", "a") is None
    assert held._entries == {}


def world_of(cluster: fakes.FakeCluster) -> gather.World:
    return gather.Gatherer(fakes.listers(cluster), api.parse, Installation).world()


def test_a_world_has_everything_by_namespace() -> None:
    cluster = fakes.FakeCluster()
    stranger = {"kind": "NetworkPolicy", "metadata": {"name": "theirs", "namespace": "shop"}, "spec": {}}
    # A tenant who borrows a label of Ringfence's is still a stranger: only what would be pruned is Ringfence's.
    labels = {"app.kubernetes.io/managed-by": "ringfence"}
    borrows = {**stranger, "metadata": {"name": "borrows", "namespace": "shop", "labels": labels}}
    whole = {**labels, "ringfence.dev/purpose": "network"}
    own = {**stranger, "metadata": {"name": "ours", "namespace": "shop", "labels": whole}}
    cluster.put(
        fakes.namespace("shop", "enforce"),
        fakes.identity("shop", "payments"),
        fakes.policy("shop", "payments", [("shop", "payments")]),
        fakes.cluster_policy("floor"),
        fakes.pod("shop", "a", "payments"),
        stranger,
        borrows,
        own,
    )
    world = world_of(cluster)
    assert world.namespaces["shop"].enrolment is Enrolment.ENFORCE
    assert isinstance(world.identities["shop"]["payments"], ServiceIdentity)
    assert [type(each) for each in world.policies["shop"]] == [SecurityPolicy]
    assert [each.meta.name for each in world.cluster_policies] == ["floor"]
    assert [each.name for each in world.workloads["shop"]] == ["a"]
    assert world.strangers["shop"] == ("borrows", "theirs")
    assert list(world.namespaces) == ["shop"]
    assert len(world.identities["shop"]) == 1


def test_what_is_not_there_is_not_made_up() -> None:
    world = world_of(fakes.FakeCluster())
    assert world.namespaces.get("nowhere") is None
    assert world.identities.get("nowhere", {}).get("nobody") is None
    assert world.policies.get("nowhere", ()) == ()
    assert world.workloads.get("nowhere", ()) == ()


def test_the_latch_and_the_end_of_a_namespace_are_read_from_it() -> None:
    cluster = fakes.FakeCluster()
    closed = {"conditions": [{"type": "ringfence.dev/Enforced", "status": "True"}]}
    cluster.put(fakes.namespace("closed", "enforce") | {"status": closed}, fakes.namespace("open", "enforce"))
    cluster.objects["Namespace", "", "open"]["metadata"]["deletionTimestamp"] = "now"
    world = world_of(cluster)
    assert (world.namespaces["closed"].enforced, world.namespaces["closed"].terminating) == (True, False)
    assert (world.namespaces["open"].enforced, world.namespaces["open"].terminating) == (False, True)


def test_api_servers_are_read_from_their_endpoint_slices() -> None:
    cluster = fakes.FakeCluster()
    slices = {
        "kind": "EndpointSlice",
        "metadata": {"name": "kubernetes", "namespace": "default"},
        "endpoints": [{"addresses": ["10.0.0.2"]}, {"addresses": ["10.0.0.1"]}, {}],
        "ports": [{"name": "https", "port": 6443}, {}],
    }
    cluster.put(slices)
    assert gather.api_server_endpoints(cluster.lister("EndpointSlice")) == (("10.0.0.1", 6443), ("10.0.0.2", 6443))
    theirs = {"name": "theirs", "namespace": "default"}
    cluster.put({**slices, "metadata": theirs, "endpoints": [{"addresses": ["192.0.2.66"]}]})
    assert len(gather.api_server_endpoints(cluster.lister("EndpointSlice"))) == 2
    cluster.put({**slices, "endpoints": None})
    assert gather.api_server_endpoints(cluster.lister("EndpointSlice")) == ()
