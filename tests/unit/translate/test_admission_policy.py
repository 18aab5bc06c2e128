"""The generated backstop: whole objects as goldens, and what must be true of any of them.

Whether the API server understands and enforces them is for the component tests.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ringfence.model.world import Enrolment, Installation
from ringfence.translate import admission_policy

from tests.conftest import Golden

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "admission_policy"
ODD = Installation(namespace="security", exempt_namespaces=("legacy", "kube-system"))


@pytest.mark.parametrize(
    ("name", "installation", "default"),
    [
        ("as-installed", Installation(), Enrolment.NONE),
        ("enrol-by-default", ODD, Enrolment.ENFORCE),
    ],
)
def test_objects(name: str, installation: Installation, default: Enrolment, golden: Golden) -> None:
    objects = admission_policy.objects(installation, default_enrolment=default)
    text = yaml.safe_dump_all(objects, sort_keys=True, width=110)
    golden.check(GOLDEN / f"{name}.out.yaml", text)


def test_they_are_few_closed_and_take_no_parameters() -> None:
    made, count = admission_policy.objects(Installation()), len(admission_policy.NAMES)
    policies, bindings = made[:count], made[count:]
    assert tuple(each["metadata"]["name"] for each in policies) == admission_policy.NAMES
    for policy, binding in zip(policies, bindings, strict=True):
        assert policy["spec"]["failurePolicy"] == "Fail"
        assert "paramKind" not in policy["spec"]
        assert binding["spec"] == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}
        assert all(each["message"] for each in policy["spec"]["validations"])
        assert len(policy["metadata"]["name"]) <= 63
        assert policy["metadata"]["name"].startswith("ringfence-")


def test_the_same_input_gives_the_same_bytes() -> None:
    one, other = (
        json.dumps(admission_policy.objects(Installation(exempt_namespaces=each))) for each in (("a", "b"), ("b", "a"))
    )
    assert one == other


def test_ringfences_own_namespace_is_always_exempt() -> None:
    (pods,) = (
        each
        for each in admission_policy.objects(ODD)
        if each["metadata"]["name"] == "ringfence-pods" and "variables" in each["spec"]
    )
    enrolled = next(each["expression"] for each in pods["spec"]["variables"] if each["name"] == "enrolled")
    for name in ("security", "legacy", "kube-system", "kube-public", "kube-node-lease"):
        assert json.dumps(name) in enrolled


def test_the_controller_is_named_by_its_whole_user() -> None:
    assert admission_policy.controller_user(ODD) == "system:serviceaccount:security:ringfence-controller"
    assert admission_policy.controller_user(ODD, "x") == "system:serviceaccount:security:x"


def place(policy: dict[str, Any]) -> str:
    """Where a policy holds: in Ringfence's own namespace, in others alone, or (by nothing said) anywhere."""
    selector = policy["spec"]["matchConstraints"].get("namespaceSelector", {})
    if "matchLabels" in selector:
        assert selector["matchLabels"] == {"kubernetes.io/metadata.name": Installation().namespace}
        return "own"
    exempt = [each["values"] for each in selector.get("matchExpressions", ()) if each["operator"] == "NotIn"]
    assert all(Installation().namespace in each for each in exempt)
    return "others" if exempt else ""


def test_no_request_meets_two_of_them() -> None:
    rules = [
        each
        for policy in admission_policy.objects(Installation())[: len(admission_policy.NAMES)]
        for each in {
            (place(policy), group, resource.partition("/")[0], operation)
            for rule in policy["spec"]["matchConstraints"]["resourceRules"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for operation in rule["operations"]
        }
    ]
    assert len(rules) == len(set(rules))
    anywhere = {each[1:] for each in rules if not each[0]}
    assert not anywhere & {each[1:] for each in rules if each[0]}


def test_the_controller_is_held_to_its_own_bindings() -> None:
    """Everywhere else it is let through by its name; where it could give itself rights, by what it writes."""
    policies = admission_policy.objects(ODD)[: len(admission_policy.NAMES)]
    text = {each["metadata"]["name"]: json.dumps(each["spec"]) for each in policies}
    assert "not-by-ringfence" not in text["ringfence-secret-rights"]
    assert '\\"security\\"' in text["ringfence-secret-rights"]


def test_variables_use_only_those_before_them() -> None:
    for policy in admission_policy.objects(Installation())[: len(admission_policy.NAMES)]:
        known: set[str] = set()
        for variable in policy["spec"]["variables"]:
            used = set(__import__("re").findall(r"variables\.(\w+)", variable["expression"]))
            assert used <= known
            known.add(variable["name"])
