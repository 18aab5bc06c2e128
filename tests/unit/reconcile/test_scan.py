"""Counting what is wrong with pods that run: grouped, bounded, and the same words as admission's."""

import json
from dataclasses import replace
from typing import Any

import pytest
from ringfence.controls.evaluate import Context
from ringfence.inject import pods
from ringfence.inject.injection import Injection
from ringfence.model.effective import AdmissionRequirement, EffectivePolicy, RuleRef
from ringfence.model.labels import LabelBox
from ringfence.model.proxy_settings import ProxySettings
from ringfence.model.resources import Mode, PodSecurityLevel
from ringfence.model.world import Enrolment, Namespace
from ringfence.reconcile import scan
from ringfence.reconcile.scan import Tally

from tests.unit.inject.making import DIGEST, HOW, UID
from tests.unit.reconcile import fakes

FLOOR = RuleRef("ClusterSecurityPolicy", "", "floor", "admission")


def _context(enrolment: Enrolment = Enrolment.ENFORCE, mode: Mode = Mode.ENFORCE) -> Context:
    policy = EffectivePolicy(
        "shop",
        enrolment,
        True,
        service_accounts=(("web", "web"),),
        admission=(AdmissionRequirement(LabelBox(), PodSecurityLevel.BASELINE, mode, FLOOR),),
    )
    return Context(Namespace.of("shop", {"ringfence.dev/enroll": enrolment.value}), policy, 0.0)


def _pod(name: str, owner: str = "", **spec: Any) -> bytes:
    made = fakes.pod("shop", name, "web", **{"containers": [{"name": "main"}], **spec})
    made["metadata"]["uid"] = f"uid-{name}"
    if owner:
        made["metadata"]["ownerReferences"] = [{"kind": "ReplicaSet", "name": owner, "controller": True}]
    return json.dumps(made).encode()


def _report(tally: Tally) -> Any:
    return tally.report("shop", *scan.KINDS[0])


def test_pods_of_one_workload_that_are_wrong_in_one_way_are_one_result() -> None:
    tally = Tally()
    for number in range(30):
        tally.add(_pod(f"web-{number:02}", "web-1", hostPID=True), _context())
    tally.add(_pod("good"), _context())
    report = _report(tally)
    assert report["summary"] == {"pass": 1, "fail": 30, "warn": 0, "error": 0, "skip": 0}
    (result,) = report["results"]
    assert (result["policy"], result["rule"], result["result"], result["severity"]) == (
        "ClusterSecurityPolicy floor",
        "host-namespaces",
        "fail",
        "high",
    )
    assert result["message"] == "spec.hostPID is true"
    assert result["properties"] == {
        "field": "spec.hostPID",
        "fix": "remove it or set it to false",
        "owner": "ReplicaSet web-1",
        "pods": "30",
    }
    assert [each["name"] for each in result["resources"]] == [f"web-{number:02}" for number in range(10)]
    assert result["resources"][0] == {
        "apiVersion": "v1",
        "kind": "Pod",
        "namespace": "shop",
        "name": "web-00",
        "uid": "uid-web-00",
    }


def test_a_storm_of_pods_makes_no_large_report() -> None:
    tally = Tally()
    for number in range(10_000):
        tally.add(_pod(f"p-{number}", f"owner-{number}", hostPID=True, hostIPC=True), _context())
    report = _report(tally)
    assert report["summary"]["fail"] == 20_000
    assert len(report["results"]) == scan.MAX_RESULTS
    assert len(json.dumps(report)) < 512 * 1024


def test_bare_pods_that_are_wrong_in_one_way_are_one_result() -> None:
    tally = Tally()
    for number in range(100):
        tally.add(_pod(f"p-{number}", hostPID=True), _context())
    (result,) = _report(tally)["results"]
    assert result["properties"]["pods"] == "100"
    assert "owner" not in result["properties"]


@pytest.mark.parametrize("context", [_context(Enrolment.AUDIT), _context(mode=Mode.AUDIT)])
def test_what_is_only_audited_is_a_warning(context: Context) -> None:
    tally = Tally()
    tally.add(
        _pod(
            "p",
            privileged=None,
            hostNetwork=False,
            securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "1"}]},
        ),
        context,
    )
    report = _report(tally)
    assert (report["summary"]["fail"], report["summary"]["warn"]) == (0, 1)
    assert [(each["result"], each["scored"]) for each in report["results"]] == [("warn", False)]


def test_a_pod_that_no_identity_covers_is_told_by_ringfence_itself() -> None:
    tally = Tally()
    stranger = json.loads(_pod("p"))
    stranger["metadata"]["labels"] = {}
    tally.add(json.dumps(stranger).encode(), _context())
    assert [(each["policy"], each["rule"]) for each in _report(tally)["results"]] == [(scan.SOURCE, "identity-label")]


@pytest.mark.parametrize("change", [{"status": {"phase": "Succeeded"}}, {"metadata": {"deletionTimestamp": "x"}}])
def test_pods_that_have_ended_or_are_ending_do_not_count(change: dict[str, dict[str, str]]) -> None:
    tally = Tally()
    ended = json.loads(_pod("p", hostPID=True))
    for key, value in change.items():
        ended[key] = {**ended[key], **value}
    tally.add(json.dumps(ended).encode(), _context())
    assert _report(tally)["summary"] == {"pass": 0, "fail": 0, "warn": 0, "error": 0, "skip": 0}


def test_mirror_pods_of_kubelets_are_not_strangers() -> None:
    tally = Tally()
    mirror = json.loads(_pod("p"))
    mirror["metadata"] = {"name": "p", "annotations": {"kubernetes.io/config.mirror": "x"}}
    del mirror["spec"]["serviceAccountName"]
    tally.add(json.dumps(mirror).encode(), _context())
    assert _report(tally)["summary"]["pass"] == 1


def test_equal_findings_make_equal_reports() -> None:
    one, other = Tally(), Tally()
    pods = [_pod(f"p-{number}", f"o-{number % 7}", hostPID=True) for number in range(20)]
    for each in pods:
        one.add(each, _context())
    for each in pods:
        other.add(each, _context())
    assert _report(one) == _report(other)


def test_pods_without_the_present_proxy_are_told() -> None:
    context = replace(_context(), proxy=HOW)
    tally = Tally()
    bare = json.loads(_pod("bare"))
    bare["spec"]["containers"] = [{"name": "main", "image": f"registry.example/x@{DIGEST}"}]
    good = pods.injected(bare, HOW, UID, fill=True)
    before = Injection(ProxySettings(enabled=True, image="registry.example/envoy:before"))
    old = pods.injected(bare, before, UID, fill=True)
    for name, each in (("bare", bare), ("good", good), ("old", old)):
        tally.add(json.dumps({**each, "metadata": {**each["metadata"], "name": name}}).encode(), context)
    found = {each["rule"]: each for each in _report(tally)["results"]}
    assert tally.passed == 1
    assert [each["name"] for each in found["proxy-sidecar"]["resources"]] == ["bare"]
    assert [each["name"] for each in found["proxy-image"]["resources"]] == ["old"]
    assert "registry.example/envoy:before" in found["proxy-image"]["message"]
