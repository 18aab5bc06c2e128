"""What the demo reads out of programs and of `ringfence ca status`, and which outcome of a rotation it calls good."""

import json
from dataclasses import replace

import pytest
import yaml
from ringfence.api.v1alpha1 import service_identity

from e2e.cluster import paths
from e2e.cluster.errors import ClusterError
from e2e.demo import authority, certificates, leader, peers
from e2e.demo.peers import Report

OLD, NEW = "0" * 64, "1" * 64
BEFORE = Report(
    started=100,
    handshakes=10,
    failures=0,
    last_failure="",
    serials=("a",),
    issuers=(OLD,),
    trusted=frozenset({OLD}),
)
AFTER = replace(BEFORE, handshakes=900, serials=("a", "b", "c"), issuers=(OLD, NEW))


def test_all_went_well() -> None:
    happened, good = certificates.verdict({"x": BEFORE, "y": BEFORE}, {"x": AFTER, "y": AFTER})
    assert (happened, good) == ("1780 handshakes, 0 failed; 6 certificates; roots: 2", True)


def test_what_was_before_does_not_count() -> None:
    before = replace(AFTER, failures=3, last_failure="long ago")
    after = replace(before, handshakes=1000, serials=(*before.serials, "d"))
    happened, good = certificates.verdict({"x": before}, {"x": after})
    assert (happened, good) == ("100 handshakes, 0 failed; 2 certificates; roots: 1", True)


@pytest.mark.parametrize(
    ("after", "mentions"),
    [
        (replace(AFTER, failures=1, last_failure="23:59:59 certificate verify failed"), "x: 23:59:59 certificate"),
        (replace(AFTER, started=200), "started anew: x"),
        (replace(AFTER, handshakes=10), "handshakes"),
    ],
)
def test_what_is_not_good(after: Report, mentions: str) -> None:
    happened, good = certificates.verdict({"x": BEFORE, "y": BEFORE}, {"x": after, "y": AFTER})
    assert not good
    assert mentions in happened


@pytest.mark.parametrize("line", ["", "Traceback (most recent call last):\n"])
def test_a_program_that_has_said_nothing_has_no_report(line: str) -> None:
    with pytest.raises(ValueError, match="Expecting value"):
        peers.parse(line)


def test_each_pod_mounts_the_secret_of_its_own_identity_only() -> None:
    objects = peers.objects("space", "registry.example/ringfence@sha256:0")
    secrets = {
        each["metadata"]["name"]: each["spec"]["certificate"]["secretName"]
        for each in objects
        if each["kind"] == "ServiceIdentity"
    }
    assert set(secrets) == set(peers.ALGORITHMS)
    pods = {each["metadata"]["name"]: each["spec"]["template"] for each in objects if each["kind"] == "Deployment"}
    assert set(pods) == set(peers.CALLS)
    for name, pod in pods.items():
        mounted = [each["secret"]["secretName"] for each in pod["spec"]["volumes"] if "secret" in each]
        assert (pod["spec"]["serviceAccountName"], mounted) == (name, [secrets[name]])
    programs = [each["data"]["peer.py"] for each in objects if each["kind"] == "ConfigMap"]
    assert programs == [peers.PROGRAM.read_text()]


def test_certificates_are_renewed_as_often_as_can_be() -> None:
    crd = yaml.safe_load((paths.REPOSITORY / "crds" / "serviceidentities.yaml").read_text())
    spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    assert spec["certificate"]["properties"]["renewAt"]["minimum"] == peers.RENEW_AT
    assert f"{service_identity.MIN_TTL // 60}m" == peers.TTL


def test_the_ca_is_read_from_what_the_command_says() -> None:
    roots = [
        {"role": "current", "fingerprint": NEW},
        {"role": "previous", "fingerprint": OLD, "leavesUntil": "2030-01-01T00:00:00Z"},
    ]
    said = {"usable": True, "trouble": None, "phase": "Activated", "roots": roots}
    found = authority.parse(json.dumps(said))
    assert (found.phase, found.current, found.leaves_until) == ("Activated", NEW, "2030-01-01T00:00:00Z")
    with pytest.raises(ClusterError, match="CAMissing"):
        authority.parse(json.dumps({**said, "usable": False, "trouble": {"reason": "CAMissing"}}))


def test_the_lease_says_who_leads_and_since_when() -> None:
    lease = {"spec": {"holderIdentity": "controller-5d9-abc_1f2e", "acquireTime": "1970-01-01T00:01:40.500000Z"}}
    assert (leader.holder(lease), leader.acquired(lease)) == ("controller-5d9-abc_1f2e", 100.5)
    assert leader.holder({"spec": {}}) == ""
    assert leader.pod_of("ringfence-controller-5d9-abc_1f2e") == "ringfence-controller-5d9-abc"
    assert leader.pod_of("") == ""
