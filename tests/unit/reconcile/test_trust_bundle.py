"""The trust bundle is where programs look for it, holds nothing else, and is mended."""

import logging
from typing import Any

import pytest
from ringfence.model.errors import RingfenceError
from ringfence.pki import store
from ringfence.reconcile import trust_bundle
from ringfence.reconcile.trust_bundle import CLUSTER_KIND, CLUSTER_NAME, ClusterTrust

from tests.unit.reconcile import fakes
from tests.unit.reconcile.certificate_rig import FakeClusterBundles, FakeMeter, run

DATA = {"ca.crt": "roots"}
ROOTS = b"roots"
LABELS = {"app.kubernetes.io/managed-by": "ringfence", "ringfence.dev/purpose": "certificates"}


def config_map(**fields: Any) -> dict[str, Any]:
    labels = fields.pop("labels", LABELS)
    metadata = {"name": store.MARKER_NAME, "namespace": "shop", "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": DATA, **fields}


def written(held: dict[str, Any] | None) -> tuple[list[str], dict[str, Any]]:
    """The verbs, and what is there afterwards."""
    cluster = fakes.FakeCluster()
    if held is not None:
        cluster.put(held)
    there = cluster.find("ConfigMap", "shop", store.MARKER_NAME)
    run(trust_bundle.write(fakes.means(cluster), FakeMeter(), "shop", DATA, there))
    found = cluster.find("ConfigMap", "shop", store.MARKER_NAME)
    assert found is not None
    return [verb for verb, *_ in cluster.writes], found


@pytest.mark.parametrize(
    ("held", "verbs"),
    [
        (None, ["apply"]),
        (config_map(), []),
        (config_map(labels={**LABELS, "team": "shop"}), []),
        (config_map(data={"ca.crt": "others"}), ["replace"]),
        (config_map(data={**DATA, "more": "x"}), ["replace"]),
        (config_map(binaryData={"ca.crt": "AA=="}), ["replace"]),
        (config_map(labels={}), ["replace"]),
        (config_map(immutable=True), ["delete", "apply"]),
    ],
    ids=["none", "as it shall be", "others' labels", "forged", "more data", "binary data", "no labels", "immutable"],
)
def test_the_config_map_is_made_what_it_shall_be(held: Any, verbs: list[str]) -> None:
    done, found = written(held)
    assert done == verbs
    assert (found["data"], found.get("binaryData"), found.get("immutable")) == (DATA, None, None)
    assert LABELS.items() <= found["metadata"]["labels"].items()


def test_labels_of_others_stay() -> None:
    _, found = written(config_map(labels={"team": "shop"}))
    assert found["metadata"]["labels"] == {**LABELS, "team": "shop"}


@pytest.mark.parametrize("held", [None, {}, {"data": None}, {"data": {"ca.crt": "no PEM"}}])
def test_what_cannot_be_read_carries_nothing(held: Any) -> None:
    from tests.unit.pki import material

    assert not trust_bundle.carried_by(held, material.idle().bundle)


# --- the ClusterTrustBundle


class Rig:
    def __init__(self, served: str = "certificates.k8s.io/v1beta1") -> None:
        self.cluster, self.meter = fakes.FakeCluster(), FakeMeter()
        self.bundles = FakeClusterBundles(self.cluster, served)
        self.trust = ClusterTrust(self.bundles, fakes.means(self.cluster), self.meter)

    def publish(self) -> RingfenceError | None:
        failure: RingfenceError | None = run(self.trust.publish(ROOTS))
        return failure


def test_its_name_begins_with_its_signer() -> None:
    assert CLUSTER_NAME.startswith(trust_bundle.SIGNER.replace("/", ":") + ":")


def test_where_there_is_the_kind_it_holds_the_roots() -> None:
    rig = Rig()
    assert rig.publish() is None
    held = rig.cluster.find(CLUSTER_KIND, "", CLUSTER_NAME)
    assert held is not None
    assert held["apiVersion"] == "certificates.k8s.io/v1beta1"
    assert held["spec"] == {"signerName": "ringfence.dev/identity", "trustBundle": "roots"}
    assert held["metadata"]["labels"] == LABELS
    assert rig.publish() is None
    assert len(rig.cluster.writes) == 1, "a second time there is nothing to do"


@pytest.mark.parametrize(
    "change",
    [{"spec": {"signerName": "ringfence.dev/identity", "trustBundle": "others"}}, {"metadata": {"labels": {}}}],
)
def test_what_somebody_has_changed_is_mended(change: dict[str, Any]) -> None:
    rig = Rig()
    rig.publish()
    held = rig.cluster.find(CLUSTER_KIND, "", CLUSTER_NAME)
    assert held is not None
    metadata = {**held["metadata"], **change.get("metadata", {})}
    rig.cluster.put({**held, **change, "metadata": metadata})
    assert rig.publish() is None
    mended = rig.cluster.find(CLUSTER_KIND, "", CLUSTER_NAME)
    assert mended is not None
    assert (mended["spec"]["trustBundle"], mended["metadata"]["labels"]) == ("roots", LABELS)


def test_without_the_kind_there_is_nothing_to_do_and_that_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(served="")
    with caplog.at_level(logging.INFO, trust_bundle.__name__):
        for _ in range(3):
            assert rig.publish() is None
        assert [record.levelname for record in caplog.records] == ["INFO"]
        assert "no ClusterTrustBundles" in caplog.text
        # After an upgrade of the API server.
        rig.bundles.served = "certificates.k8s.io/v1"
        rig.publish()
        rig.publish()
    assert len(caplog.records) == 2
    assert "certificates.k8s.io/v1" in caplog.records[1].getMessage()
    assert rig.cluster.writes == [("apply", CLUSTER_KIND, CLUSTER_NAME)]
    assert rig.meter.heard == []


def test_what_fails_is_returned_and_counted() -> None:
    rig = Rig()
    rig.cluster.errors["apply", CLUSTER_KIND, CLUSTER_NAME] = RingfenceError("no right to attest")
    assert str(rig.publish()) == "no right to attest"
    rig.cluster.errors.clear()
    rig.bundles.error = RingfenceError("cannot be listed")
    assert str(rig.publish()) == "cannot be listed"
    assert rig.meter.heard == [("bundle failed", CLUSTER_KIND)] * 2
    rig.bundles.error = None
    assert rig.publish() is None
