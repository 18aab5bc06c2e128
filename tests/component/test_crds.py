"""The CRDs on a real API server say the same as the parser, and drop nothing that a person wrote."""

import copy
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ringfence import api
from ringfence.api import v1alpha1
from ringfence.model.errors import FieldError, InvalidResource

from e2e.cluster import tools
from e2e.cluster.controlplane import ControlPlane
from tests.component.raw_client import Answer, RawClient
from tests.unit.api import corpus, strategies
from tests.unit.api.corpus import Case, Verdict

pytestmark = pytest.mark.component

PLURALS = {resource.kind: resource.plural for resource in v1alpha1.RESOURCES}
GROUP = "/apis/ringfence.dev/v1alpha1"
APPLY = "application/apply-patch+yaml"


@pytest.fixture(scope="module")
def server(api_server: ControlPlane) -> Iterator[RawClient]:
    with RawClient(api_server) as client:
        for name in ("shop", "crds"):
            metadata = {"name": name}
            client.send("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        yield client


def collection(obj: dict[str, Any]) -> str:
    namespace = obj["metadata"].get("namespace")
    return f"{GROUP}/namespaces/{namespace}/{PLURALS[obj['kind']]}" if namespace else f"{GROUP}/{PLURALS[obj['kind']]}"


def create(server: RawClient, obj: dict[str, Any], validation: str = "Strict") -> Answer:
    """A dry run: judged and defaulted, not stored."""
    return server.send("POST", f"{collection(obj)}?dryRun=All&fieldValidation={validation}", obj)


def refusal(obj: dict[str, Any]) -> tuple[FieldError, ...]:
    try:
        api.parse(obj)
    except InvalidResource as invalid:
        return invalid.errors
    return ()


def meaning(obj: dict[str, Any]) -> Any:
    """What the parser makes of the spec; generation, uid and the like left aside."""
    bare = {name: value for name, value in obj.items() if name not in {"metadata", "status"}}
    metadata = {name: value for name, value in obj["metadata"].items() if name in {"name", "namespace"}}
    return api.parse({**bare, "metadata": metadata})


@pytest.mark.parametrize("case", tuple(corpus.cases()), ids=lambda case: case.name)
def test_the_api_server_judges_like_the_parser(server: RawClient, case: Case) -> None:
    answer = create(server, case.obj)
    assert answer.accepted == (case.verdict is not Verdict.REFUSED), answer.message
    assert bool(refusal(case.obj)) == (case.verdict is not Verdict.GOOD)
    assert answer.accepted or answer.status in {400, 422}


@pytest.mark.parametrize("name", corpus.GOOD)
def test_what_is_stored_means_the_same(server: RawClient, name: str) -> None:
    assert meaning(create(server, corpus.GOOD[name]).body) == meaning(corpus.GOOD[name])


@pytest.mark.parametrize("validation", ["Strict", "Warn", "Ignore"])
@pytest.mark.parametrize("name", corpus.KEPT)
def test_what_the_crds_cannot_refuse_reaches_the_parser(server: RawClient, name: str, validation: str) -> None:
    stored = create(server, corpus.KEPT[name], validation).body
    assert refusal(stored) == refusal(corpus.KEPT[name])


@settings(max_examples=60)
@given(obj=strategies.resources())
def test_whatever_the_schema_describes_is_accepted(server: RawClient, obj: dict[str, Any]) -> None:
    answer = create(server, obj)
    assert answer.accepted, answer.message
    assert meaning(answer.body) == meaning(obj)


@settings(max_examples=250)
@given(obj=strategies.resources(), data=st.data())
def test_broken_resources_are_refused_by_the_parser_whatever_the_api_server_made_of_them(
    server: RawClient, obj: dict[str, Any], data: st.DataObject
) -> None:
    broken = data.draw(strategies.broken(obj))
    answer = create(server, broken, "Ignore")
    if not answer.accepted:
        assert refusal(broken), f"only the API server refuses it: {answer.message}"
    elif refusal(broken):
        assert refusal(answer.body), "the API server dropped what was wrong with it"
    else:
        assert meaning(answer.body) == meaning(broken)


def test_installing_the_crds_gives_no_warning(server: RawClient) -> None:
    for crd in v1alpha1.crds():
        path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{crd['metadata']['name']}"
        answer = server.send(
            "PATCH", f"{path}?dryRun=All&fieldManager=test&force=true&fieldValidation=Strict", crd, content_type=APPLY
        )
        assert answer.accepted, answer.message
        assert answer.warnings == []


def test_names_by_which_people_find_them(server: RawClient) -> None:
    found = {each["kind"]: each for each in server.send("GET", GROUP).body["resources"] if "/" not in each["name"]}
    assert {kind: (each["name"], each["shortNames"], each["namespaced"]) for kind, each in found.items()} == {
        "ServiceIdentity": ("serviceidentities", ["svcid"], True),
        "SecurityPolicy": ("securitypolicies", ["secpol"], True),
        "ClusterSecurityPolicy": ("clustersecuritypolicies", ["csecpol"], False),
        "ImageVerdict": ("imageverdicts", ["imgv"], True),
    }
    assert all(each["categories"] == ["ringfence"] for each in found.values())


def test_what_people_see_of_a_list(server: RawClient) -> None:
    table = "application/json;as=Table;g=meta.k8s.io;v=v1"
    columns = {
        kind: [
            column["name"] for column in server.send("GET", f"{GROUP}/{plural}", accept=table).body["columnDefinitions"]
        ]
        for kind, plural in PLURALS.items()
    }
    policies = ["Name", "Mode", "Pods", "Ready", "Reason", "Age", "Message"]
    assert columns == {
        "ServiceIdentity": [
            "Name",
            "ServiceAccount",
            "SPIFFE ID",
            "Ready",
            "Reason",
            "Expires",
            "Renews",
            "Age",
            "Message",
        ],
        "SecurityPolicy": policies,
        "ClusterSecurityPolicy": policies,
    }


def explain(api_server: ControlPlane, field: str) -> str:
    kubectl = tools.ensure(tools.CONTROL) / "kubectl"
    command = [kubectl, f"--kubeconfig={api_server.kubeconfig}", "explain", field]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_explain_tells_what_a_rule_is(api_server: ControlPlane) -> None:
    said = " ".join(explain(api_server, "securitypolicy.spec.ingress").split())
    assert "A call needs a rule that allows it and none that denies it." in said
    for field, words in {
        "action <string> enum: Allow, Deny": "Deny wins over every Allow. Default: Allow.",
        "from <[]Object>": "If left out, every authenticated identity.",
        "name <string> -required-": "answers and logs name it.",
        "ports <[]Object>": "Ports are those of pods, not of Services.",
    }.items():
        assert field in said
        assert words in said


@pytest.mark.parametrize(
    "field", ["securitypolicy.spec.egress.to", "secpol.spec.ingress.ports", "svcid", "csecpol.spec"]
)
def test_explain_knows_every_part(api_server: ControlPlane, field: str) -> None:
    said = explain(api_server, field)
    assert "<no description>" not in said
    assert "DESCRIPTION:" in said


def condition(type_: str, **fields: Any) -> dict[str, Any]:
    return {
        "type": type_,
        "status": "True",
        "reason": "AsExpected",
        "message": "",
        "lastTransitionTime": "2026-01-31T00:00:00Z",
        "observedGeneration": 1,
        **fields,
    }


def own(name: str, rules: list[dict[str, Any]]) -> dict[str, Any]:
    return corpus.policy({"ingress": rules}, metadata={"name": name, "namespace": "crds"})


def patch(server: RawClient, obj: dict[str, Any], manager: str, subresource: str = "") -> Answer:
    path = f"{collection(obj)}/{obj['metadata']['name']}{subresource}?fieldManager={manager}&fieldValidation=Strict"
    return server.send("PATCH", path, obj, content_type=APPLY)


def test_people_do_not_write_the_status_and_ringfence_not_the_spec(server: RawClient) -> None:
    policy = own("status", [{"name": "a"}])
    written = patch(server, {**policy, "status": {"pods": 7}}, "person")
    assert "status" not in written.body
    answer = copy.deepcopy(policy)
    answer["spec"] = {"mode": "Audit"}
    answer["status"] = {"observedGeneration": 1, "pods": 2, "networkPolicies": 1, "conditions": [condition("Ready")]}
    stored = patch(server, answer, "ringfence", "/status").body
    assert stored["spec"] == {"mode": "Enforce", "ingress": [{"name": "a", "action": "Allow"}]}
    assert stored["status"] == answer["status"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"conditions": [condition("Ready", status="Yes")]},
        {"conditions": [condition("Ready", reason="as expected")]},
        {"conditions": [condition("Ready"), condition("Ready")]},
        {"conditions": [{"type": "Ready"}]},
        {"pods": -1},
        {"pods": "1"},
    ],
)
def test_a_status_by_the_conventions(server: RawClient, wrong: dict[str, Any]) -> None:
    policy = own("conventions", [{"name": "a"}])
    patch(server, policy, "person")
    assert not patch(server, {**policy, "status": wrong}, "ringfence", "/status").accepted


def test_two_people_can_own_rules_of_one_policy(server: RawClient) -> None:
    assert patch(server, own("shared", [{"name": "a"}]), "one").accepted
    assert patch(server, own("shared", [{"name": "b", "action": "Deny"}]), "two").accepted
    stored = server.send("GET", f"{GROUP}/namespaces/crds/securitypolicies/shared").body
    assert [(rule["name"], rule["action"]) for rule in stored["spec"]["ingress"]] == [("a", "Allow"), ("b", "Deny")]
