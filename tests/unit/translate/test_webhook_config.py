"""What the API server will ask the webhook, and what it never will."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ringfence.model import labels
from ringfence.model.labels import LabelBox
from ringfence.model.world import Enrolment, Installation
from ringfence.translate import webhook_config
from ringfence.translate.sessions import Sessions
from ringfence.translate.webhook_config import Endpoint

from tests.conftest import Golden

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "admission_policy"
SHOP = LabelBox.of({"kubernetes.io/metadata.name": labels.one_of("shop")})
PROD = LabelBox.of({"env": labels.one_of("prod")})
BUNDLE = b"-----BEGIN CERTIFICATE-----\n"


def webhooks(**kwargs: Any) -> dict[str, dict[str, Any]]:
    objects = webhook_config.objects(Installation(), Endpoint(BUNDLE), **kwargs)
    return {f"{each['kind'][0]}:{webhook['name']}": webhook for each in objects for webhook in each["webhooks"]}


@pytest.mark.parametrize("default", [Enrolment.NONE, Enrolment.AUDIT])
def test_objects(default: Enrolment, golden: Golden) -> None:
    objects = webhook_config.objects(
        Installation(exempt_namespaces=("legacy",)),
        Endpoint(BUNDLE),
        default_enrolment=default,
        sessions=Sessions((SHOP,), (PROD,)) if default is Enrolment.AUDIT else Sessions(),
    )
    text = yaml.safe_dump_all(objects, sort_keys=True, width=110)
    golden.check(GOLDEN / f"webhooks-default-{default.value}.out.yaml", text)


def test_all_are_closed_but_the_one_that_only_warns() -> None:
    policies = {name: webhook["failurePolicy"] for name, webhook in webhooks(default_enrolment=Enrolment.AUDIT).items()}
    assert policies.pop("V:warnings.ringfence.dev") == "Ignore"
    assert set(policies.values()) == {"Fail"}


def test_every_one_is_quick_equivalent_and_harmless_on_a_dry_run() -> None:
    # These ask for images to be looked at and write Events, but for a dry run.
    telling = {"M:pods.ringfence.dev", "V:pods.ringfence.dev", "V:sessions.ringfence.dev", "V:warnings.ringfence.dev"}
    for name, webhook in webhooks(default_enrolment=Enrolment.AUDIT).items():
        assert 1 <= webhook["timeoutSeconds"] <= 3
        assert webhook["matchPolicy"] == "Equivalent"
        assert webhook["sideEffects"] == ("NoneOnDryRun" if name in telling else "None")
        assert webhook["admissionReviewVersions"] == ["v1"]
        assert base64.b64decode(webhook["clientConfig"]["caBundle"]) == BUNDLE


def test_sessions_are_asked_about_where_they_are_closed_and_fail_closed() -> None:
    found = webhooks(sessions=Sessions((SHOP, PROD), (PROD,)))
    assert [name for name in found if "session" in name] == [
        "V:sessions.ringfence.dev",
        "V:sessions-2.ringfence.dev",
        "V:session-reports.ringfence.dev",
    ]
    for name, box, failure in (("sessions", SHOP, "Fail"), ("sessions-2", PROD, "Fail")):
        sessions = found[f"V:{name}.ringfence.dev"]
        (rule,) = sessions["rules"]
        assert rule["operations"] == ["CONNECT"]
        assert rule["resources"] == ["pods/attach", "pods/exec", "pods/portforward"]
        assert sessions["failurePolicy"] == failure
        assert (sessions["namespaceSelector"],) == box.selectors()
    reports = found["V:session-reports.ringfence.dev"]
    assert reports["failurePolicy"] == "Ignore"
    assert (reports["namespaceSelector"],) == PROD.selectors()


def test_where_nothing_closes_sessions_nobody_is_asked_about_them() -> None:
    assert not any("CONNECT" in rule["operations"] for each in webhooks().values() for rule in each["rules"])


def test_who_is_asked_about_is_read_back() -> None:
    *_, written = webhook_config.objects(Installation(), Endpoint(BUNDLE), sessions=Sessions((SHOP,), (PROD,)))
    entries = written["webhooks"]
    shop, prod = {"kubernetes.io/metadata.name": "shop"}, {"env": "prod"}
    assert webhook_config.asks_about_sessions(entries, shop, closed=True)
    assert not webhook_config.asks_about_sessions(entries, prod, closed=True)
    assert webhook_config.asks_about_sessions(entries, prod, closed=False)
    assert not webhook_config.asks_about_sessions(entries, {}, closed=False)
    assert not webhook_config.asks_about_sessions([], shop, closed=False)
    maimed = [{**each, "rules": [{**rule, "resources": ["pods/exec"]} for rule in each["rules"]]} for each in entries]
    assert not webhook_config.asks_about_sessions(maimed, shop, closed=False)


def test_the_mutating_one_is_asked_again() -> None:
    assert webhooks()["M:pods.ringfence.dev"]["reinvocationPolicy"] == "IfNeeded"


@pytest.mark.parametrize("name", ["M:pods.ringfence.dev", "V:pods.ringfence.dev", "V:warnings.ringfence.dev"])
def test_pods_are_asked_about_in_enrolled_namespaces_and_never_in_the_clusters_own(name: str) -> None:
    expressions = {each["key"]: each for each in webhooks()[name]["namespaceSelector"]["matchExpressions"]}
    assert expressions["ringfence.dev/enroll"]["values"] == ["audit", "enforce"]
    exempt = expressions["kubernetes.io/metadata.name"]
    assert exempt["operator"] == "NotIn"
    assert {"kube-system", "ringfence-system"} <= set(exempt["values"])


def test_rules_on_namespaces_and_own_kinds_have_no_selector() -> None:
    """It would see the new labels, so un-enrolling would deselect the check."""
    resources = webhooks()["V:resources.ringfence.dev"]
    assert "namespaceSelector" not in resources
    assert {plural for rule in resources["rules"] for plural in rule["resources"]} == {
        "namespaces",
        "namespaces/*",
        "clustersecuritypolicies",
        "securitypolicies",
        "serviceidentities",
    }


def test_what_must_not_wait_is_not_asked_about() -> None:
    conditions = json.dumps(webhooks()["V:pods.ringfence.dev"]["matchConditions"])
    for subresource in ("status", "eviction", "binding"):
        assert subresource in conditions
    for webhook in webhooks().values():
        for rule in webhook["rules"]:
            assert "*" not in rule["resources"]
            assert "*/*" not in rule["resources"]
            assert "admissionregistration.k8s.io" not in rule["apiGroups"]


def test_no_deletion_waits_for_an_answer() -> None:
    """A namespace ends by deleting what is in it, also while the webhook is away."""
    for webhook in webhooks(default_enrolment=Enrolment.AUDIT).values():
        deletes = any("DELETE" in rule["operations"] for rule in webhook["rules"])
        assert not deletes or webhook["failurePolicy"] == "Ignore"


def test_unknown_pod_subresources_are() -> None:
    rules = webhooks()["V:pods.ringfence.dev"]["rules"]
    assert any("pods/*" in rule["resources"] for rule in rules)


def test_a_url_takes_the_place_of_the_service() -> None:
    objects = webhook_config.objects(Installation(), Endpoint(BUNDLE, url="https://localhost:9443"))
    client = objects[0]["webhooks"][0]["clientConfig"]
    assert client == {"url": "https://localhost:9443/mutate", "caBundle": base64.b64encode(BUNDLE).decode()}


def test_new_namespaces_are_asked_about_only_when_there_is_a_default() -> None:
    assert "M:namespaces.ringfence.dev" not in webhooks()
    assert "M:namespaces.ringfence.dev" in webhooks(default_enrolment=Enrolment.ENFORCE)
