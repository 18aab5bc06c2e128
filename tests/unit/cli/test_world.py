"""Documents become the world that they describe."""

import io
from pathlib import Path

import pytest
from ringfence.cli import documents, world
from ringfence.cli.problems import BadInput
from ringfence.cli.world import Loaded
from ringfence.model.labels import LabelBox
from ringfence.model.resources import Protocol
from ringfence.model.world import ContainerPort, Enrolment, Installation


def load(text: str, **how: bool) -> Loaded:
    return world.load(documents.read(["-"], io.BytesIO(text.encode())), Installation(), **how)


def refusal(text: str) -> list[str]:
    with pytest.raises(BadInput) as caught:
        load(text)
    return [str(problem).removeprefix("<stdin>:") for problem in caught.value.problems]


POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n"
DEPLOYMENT = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n"
NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {ringfence.dev/enroll: enforce}}\n"


def test_a_namespace_with_its_labels_and_its_latch() -> None:
    condition = "status: {conditions: [{type: ringfence.dev/Enforced, status: 'True'}]}\n"
    found = load(NAMESPACE + condition).world.namespaces["shop"]
    assert found.enrolment is Enrolment.ENFORCE
    assert found.enforced
    assert found.labels["kubernetes.io/metadata.name"] == "shop"
    assert not load(NAMESPACE).world.namespaces["shop"].enforced


def test_resources_by_namespace_and_name() -> None:
    loaded = load(
        NAMESPACE
        + "---\napiVersion: ringfence.dev/v1alpha1\nkind: ServiceIdentity\nmetadata: {name: web, namespace: shop}\n"
        + "---\napiVersion: ringfence.dev/v1alpha1\nkind: ClusterSecurityPolicy\nmetadata: {name: floor}\n"
        + "spec: {namespaceSelector: {}, admission: {podSecurity: baseline}}\n"
    )
    assert loaded.world.identities["shop"]["web"].service_account == "web"
    assert [policy.namespace_selector for policy in loaded.world.cluster_policies] == [LabelBox()]
    assert loaded.resources["ServiceIdentity", "shop", "web"].place == "<stdin>:5"
    assert loaded.assumed == {}


@pytest.mark.parametrize(
    ("head", "path"),
    [
        ("apiVersion: v1\nkind: Pod", "spec: "),
        ("apiVersion: v1\nkind: PodTemplate", "template: {spec: "),
        ("apiVersion: v1\nkind: ReplicationController", "spec: {template: {spec: "),
        ("apiVersion: apps/v1\nkind: Deployment", "spec: {template: {spec: "),
        ("apiVersion: apps/v1\nkind: ReplicaSet", "spec: {template: {spec: "),
        ("apiVersion: apps/v1\nkind: StatefulSet", "spec: {template: {spec: "),
        ("apiVersion: apps/v1\nkind: DaemonSet", "spec: {template: {spec: "),
        ("apiVersion: batch/v1\nkind: Job", "spec: {template: {spec: "),
        ("apiVersion: batch/v1\nkind: CronJob", "spec: {jobTemplate: {spec: {template: {spec: "),
    ],
)
def test_workloads_of_every_kind_are_read_as_admission_would_leave_them(head: str, path: str) -> None:
    spec = (
        "{serviceAccountName: web, hostNetwork: false, initContainers: [{ports: [{name: side, containerPort: 1}]}],"
        " containers: [{ports: [{name: dns, containerPort: 53, protocol: UDP}, {containerPort: 80}]}]}"
    )
    text = f"{head}\nmetadata: {{name: web, namespace: shop}}\n{path}{spec}{'}' * path.count('{')}\n"
    loaded = load(NAMESPACE + "---\n" + text)
    (workload,) = loaded.world.workloads["shop"]
    assert workload.service_account == "web"
    assert workload.labels == {"ringfence.dev/identity": "web"}
    assert workload.ports == (ContainerPort("dns", 53, Protocol.UDP), ContainerPort("side", 1))
    assert workload.kind == head.rpartition(" ")[2]
    assert [str(judged) for judged in loaded.judged] == [f"{workload.kind} shop/web"]


def test_a_pod_that_runs_keeps_its_labels() -> None:
    pod = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: old, namespace: shop}\n"
    running = pod + "status: {phase: Running, podIPs: [{ip: 10.0.0.1}]}\n"
    (workload,) = load(NAMESPACE + running).world.workloads["shop"]
    assert not workload.labelled
    assert workload.ips == ("10.0.0.1",)
    (workload,) = load(NAMESPACE + pod + "status: {phase: Succeeded}\n").world.workloads["shop"]
    assert workload.finished


def test_only_the_network_policies_of_strangers_count() -> None:
    head = "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
    policy = head + "metadata: {name: %s, namespace: shop, labels: {%s}}\n"
    borrowed = "app.kubernetes.io/managed-by: ringfence"
    text = policy % ("theirs", "") + policy % ("borrows", borrowed)
    text += policy % ("own", f"{borrowed}, ringfence.dev/purpose: network")
    assert load(NAMESPACE + text).world.strangers == {"shop": ("borrows", "theirs")}


def test_the_api_server_is_known_by_its_endpoint_slice() -> None:
    text = (
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
        "metadata: {name: kubernetes, namespace: default, labels: {kubernetes.io/service-name: kubernetes}}\n"
        "endpoints: [{addresses: [192.0.2.1]}, {addresses: [192.0.2.2]}]\nports: [{port: 6443}]\n"
    )
    assert load(text).world.installation.api_server == (("192.0.2.1", 6443), ("192.0.2.2", 6443))
    assert "is no EndpointSlice" in refusal(text.replace("192.0.2.1", "api.example"))[0]
    for theirs in (text.replace("name: kubernetes,", "name: theirs,"), text.replace("default", "tenant")):
        assert load(theirs).world.installation == Installation()


POLICY = """\
apiVersion: ringfence.dev/v1alpha1
kind: SecurityPolicy
metadata: {name: p}
spec: {ingress: [{name: all}]}
"""


def test_a_namespace_that_nobody_describes_is_taken_as_enforced_where_policies_stand() -> None:
    pod = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: other}\n"
    loaded = load(POLICY + pod)
    assert loaded.assumed == {"default": Enrolment.ENFORCE, "other": Enrolment.NONE}
    assert loaded.world.namespaces["default"].enrolment is Enrolment.ENFORCE
    assert load(POLICY + pod, enforce_unknown=True).assumed["other"] is Enrolment.ENFORCE


def test_what_is_none_of_our_business_is_left_aside(tmp_path: Path) -> None:
    (tmp_path / "values.yaml").write_text("replicas: 3\n")
    (tmp_path / "Chart.yaml").write_text("apiVersion: v2\nname: x\n")
    (tmp_path / "list.yaml").write_text("- 1\n")
    (tmp_path / "gadget.yaml").write_text("apiVersion: example.com/v1\nkind: Gadget\n")
    loaded = world.load(documents.read([str(tmp_path)], io.BytesIO()), Installation())
    assert [text.removeprefix(f"{tmp_path}/") for text in loaded.ignored] == [
        "Chart.yaml:1: has no kind, so it is not a Kubernetes object",
        "gadget.yaml:1: Gadget is not read",
        "list.yaml:1: is a list, not a Kubernetes object",
        "values.yaml:1: has no apiVersion and kind, so it is not a Kubernetes object",
    ]


def test_a_known_kind_without_its_api_is_a_mistake_even_in_a_directory(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("kind: SecurityPolicy\nmetadata: {name: p}\n")
    with pytest.raises(BadInput, match="apiVersion is missing"):
        world.load(documents.read([str(tmp_path)], io.BytesIO()), Installation())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\n", "1: has no apiVersion and kind"),
        ("- a\n", "1: is a list, not a Kubernetes object"),
        ("just words\n", "1: is a text, not a Kubernetes object"),
        ("3\n", "1: is a number, not a Kubernetes object"),
        ("apiVersion: v1\nkind: 3\n", "2: kind is a number"),
        ("apiVersion: {}\nkind: Pod\n", "1: apiVersion is an object"),
        (
            "apiVersion: ringfence.dev/v1alpha1\nkind: SecurtyPolicy\nmetadata: {name: a}\n",
            "did you mean SecurityPolicy?",
        ),
        ("apiVersion: ringfence.dev/v1\nkind: SecurityPolicy\n", "1: SecurityPolicy: apiVersion"),
        (POLICY.replace("ingress", "ingres"), "4: SecurityPolicy p: spec.ingres"),
        (POLICY + "  x: 1\n", "is not YAML"),
        ("apiVersion: v1\nkind: Pod\n", "1: Pod: metadata.name is missing"),
        ("apiVersion: v1\nkind: Pod\nmetadata: 3\n", "3: Pod: metadata is a whole number (give an object)"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: A_b}\n", "3: Pod A_b: metadata.name 'A_b' is no name"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: x.y}\n", "metadata.namespace 'x.y' is no name"),
        ("apiVersion: v1\nkind: Namespace\nmetadata: {name: x.y}\n", "metadata.name 'x.y' is no name"),
        (
            NAMESPACE.replace("enforce", "yes"),
            "metadata.labels[ringfence.dev/enroll] is true or false, no text (write it in quotes)",
        ),
        (
            "apiVersion: batch/v1\nkind: Job\nmetadata: {name: a}\nspec: {template: {metadata: {labels: {a: 1}}}}\n",
            "4: Job a: spec.template.metadata.labels[a] is a number, no text (write it in quotes)",
        ),
        (NAMESPACE.replace("enforce", "enforced"), "'enforced' is no enrolment (audit or enforce)"),
        (NAMESPACE + "status: {conditions: 3}\n", "4: Namespace shop: status.conditions is a whole number"),
        (POD + "spec: []\n", "4: Pod a: spec is a list (give an object)"),
        (
            POD + "spec:\n  containers:\n  - ports:\n    - {containerPort: x}\n",
            "7: Pod a: spec.containers[0].ports[0].containerPort is a string (give a whole number)",
        ),
        (POD + "spec: {containers: [{ports: [{}]}]}\n", "spec.containers[0].ports[0] has no containerPort (give one)"),
        (
            POD + "spec:\n  containers: [{ports: [{containerPort: 70000}]}]\n",
            "5: Pod a: spec.containers[0].ports[0].containerPort is out of range (at most 65535)",
        ),
        (
            DEPLOYMENT + "spec:\n  template:\n    spec: {hostNetwork: 1}\n",
            "6: Deployment a: spec.template.spec.hostNetwork is a whole number (give true or false)",
        ),
        (DEPLOYMENT + "spec: 1\n", "4: Deployment a: spec is no object"),
        (POLICY + "---\n" + POLICY, "6: SecurityPolicy default/p: is given twice (first in <stdin>:1; keep one)"),
        (NAMESPACE + "---\n" + NAMESPACE, "Namespace shop: is given twice"),
    ],
)
def test_mistakes_are_told_with_line_and_field(text: str, told: str) -> None:
    assert told in "\n".join(refusal(text))


def test_what_is_judged_may_have_a_name_that_no_api_server_takes() -> None:
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: A_b}\n"
    loaded = load(pod, any_name=True)
    assert [each.name for each in loaded.judged] == ["A_b"]
    (problem,) = loaded.misnamed
    assert "metadata.name 'A_b' is no name" in str(problem)


def test_but_nothing_else_may() -> None:
    namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: A_b}\n"
    with pytest.raises(BadInput, match="is no name"):
        load(namespace, any_name=True)


def test_all_mistakes_are_told_at_once() -> None:
    wrong = POLICY.replace("all}", "all, from: [], ports: []}")
    assert len(refusal(wrong + "---\nkind: 3\n")) == 3


def test_a_cluster_with_an_invalid_resource_is_still_a_cluster() -> None:
    loaded = load(POLICY.replace("ingress", "ingres") + "---\n" + POLICY.replace("name: p", "name: q"), tolerant=True)
    assert str(loaded.invalid[0]).startswith("<stdin>:4: SecurityPolicy p: spec.ingres")
    assert [policy.meta.name for policy in loaded.world.policies["default"]] == ["q"]


def test_the_deprecated_name_of_the_service_account_counts() -> None:
    pod = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: old, namespace: shop}\nspec: {serviceAccount: nobody}\n"
    (workload,) = load(NAMESPACE + pod).world.workloads["shop"]
    assert workload.service_account == "nobody"
