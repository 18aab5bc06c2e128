"""The parser reads what is good, and refuses what is not with every mistake named."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from ringfence import api
from ringfence.api.schema import Choice, ListOf, Node, Obj
from ringfence.api.v1alpha1 import RESOURCES, admission, signatures
from ringfence.model import labels
from ringfence.model.demands import ControlId, Setting
from ringfence.model.errors import FieldError, InvalidResource
from ringfence.model.labels import LabelBox
from ringfence.model.resources import (
    Action,
    AdmissionSpec,
    AnonymousPeer,
    ApiServerPeer,
    AppliesTo,
    CidrPeer,
    ClusterSecurityPolicy,
    IdentityPeer,
    Mode,
    NamespacePeer,
    PodSecurityException,
    PodSecurityLevel,
    PolicySpec,
    PortSpec,
    Protocol,
    ResourceMeta,
    Rule,
    SecurityPolicy,
    ServiceIdentity,
    SpiffePeer,
    ZonePeer,
)

from tests.conftest import Golden
from tests.unit.api import corpus

GOLDEN = Path(__file__).parents[2] / "golden" / "crds"
META = ResourceMeta(name="payments", namespace="shop")


def errors(obj: Any) -> tuple[FieldError, ...]:
    with pytest.raises(InvalidResource) as caught:
        api.parse(obj)
    return caught.value.errors


def by_path(obj: Any) -> dict[str, FieldError]:
    return {error.path: error for error in errors(obj)}


@pytest.mark.parametrize("name", corpus.GOOD)
def test_what_is_good_is_read(name: str) -> None:
    before = copy.deepcopy(corpus.GOOD[name])
    api.parse(corpus.GOOD[name])
    assert corpus.GOOD[name] == before


BAD = {**corpus.REFUSED, **corpus.KEPT}


@pytest.mark.parametrize("name", BAD)
def test_what_is_bad_is_refused_with_the_field(name: str) -> None:
    for error in errors(BAD[name]):
        assert error.path.split(".")[0].split("[")[0] in {"spec", "metadata", "apiVersion", "ingress", "specs"}
        assert error.message
        assert len(str(error)) < 500
        assert str(error).isprintable()


def test_what_is_said_of_what_is_bad(golden: Golden) -> None:
    said = {name: [str(error) for error in errors(obj)] for name, obj in BAD.items()}
    golden.check(GOLDEN / "errors.out.yaml", yaml.safe_dump(said, sort_keys=False, width=1000, allow_unicode=True))


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.kind)
def test_the_examples_of_the_reference_are_good(resource: Any) -> None:
    loaded = yaml.safe_load(resource.example)
    assert api.parse(loaded).meta.name == loaded["metadata"]["name"]


def test_an_identity_takes_its_name_for_the_service_account() -> None:
    assert api.parse(corpus.identity()) == ServiceIdentity(meta=META, service_account="payments")
    assert api.parse(corpus.identity(spec={"serviceAccountName": "pay"})) == ServiceIdentity(META, "pay")


def test_a_policy_in_full() -> None:
    every_peer = [
        {"identity": {"name": "checkout"}},
        {"identity": {"name": "scraper", "namespace": "monitoring"}},
        {"zone": "front"},
        {"namespace": "ingress"},
        {"spiffeID": "spiffe://example.org/ns/a/sa/b"},
        {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]},
        {"apiServer": True},
        {"anonymous": True},
    ]
    every_port = [8443, "https", {"port": 53, "protocol": "UDP"}, {"port": 1, "endPort": 9}]
    spec = {
        "appliesTo": {"identities": ["payments", "ledger"]},
        "mode": "Audit",
        "ingress": [{"name": "in", "from": every_peer, "ports": every_port}],
        "egress": [{"name": "out", "action": "Deny"}],
        "admission": {"podSecurity": "restricted"},
    }
    peers = (
        IdentityPeer("shop", "checkout"),
        IdentityPeer("monitoring", "scraper"),
        ZonePeer("front"),
        NamespacePeer("ingress"),
        SpiffePeer("spiffe://example.org/ns/a/sa/b"),
        CidrPeer("10.0.0.0/8", ("10.1.0.0/16",)),
        ApiServerPeer(),
        AnonymousPeer(),
    )
    ports = (PortSpec(8443), PortSpec("https"), PortSpec(53, None, Protocol.UDP), PortSpec(1, 9))
    assert api.parse(corpus.policy(spec)) == SecurityPolicy(
        meta=META,
        applies_to=AppliesTo(identities=("ledger", "payments")),
        spec=PolicySpec(
            mode=Mode.AUDIT,
            ingress=(Rule("in", Action.ALLOW, peers, ports),),
            egress=(Rule("out", Action.DENY, None, None),),
            admission=AdmissionSpec(PodSecurityLevel.RESTRICTED),
        ),
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("baseline", (PodSecurityLevel.BASELINE, None)),
        ({"level": "baseline"}, (PodSecurityLevel.BASELINE, None)),
        ({"level": "restricted", "version": "latest"}, (PodSecurityLevel.RESTRICTED, None)),
        ({"level": "restricted", "version": "1.0"}, (PodSecurityLevel.RESTRICTED, 0)),
        ({"level": "privileged", "version": "1.35"}, (PodSecurityLevel.PRIVILEGED, 35)),
    ],
)
def test_a_pod_security_level_may_have_a_version(value: object, expected: tuple[PodSecurityLevel, int | None]) -> None:
    parsed = api.parse(corpus.pod_security(value))
    assert isinstance(parsed, SecurityPolicy)
    assert parsed.spec.admission == AdmissionSpec(*expected)


@pytest.mark.parametrize(
    ("value", "path", "words"),
    [
        (1.31, "spec.admission.podSecurity", "one of privileged, baseline, restricted or an object"),
        ("Baseline", "spec.admission.podSecurity", "did you mean baseline?"),
        ({"level": "baseline", "version": 1.3}, "spec.admission.podSecurity.version", "in quotes"),
        ({"level": "baseline", "version": "1.36"}, "spec.admission.podSecurity.version", '"1.0" to "1.35" in quotes'),
        ({"version": "1.31"}, "spec.admission.podSecurity.level", "is missing"),
        ({"level": "baseline", "verson": "1.31"}, "spec.admission.podSecurity.verson", "did you mean version?"),
    ],
)
def test_a_wrong_pod_security_level_names_field_and_fix(value: object, path: str, words: str) -> None:
    with pytest.raises(InvalidResource) as caught:
        api.parse(corpus.pod_security(value))
    (error,) = caught.value.errors
    assert error.path == path
    assert words in f"{error.message} {error.fix}"


def test_what_is_left_out_has_its_default() -> None:
    assert api.parse(corpus.policy({"ingress": [{"name": "any"}]})) == SecurityPolicy(
        meta=META,
        applies_to=AppliesTo(),
        spec=PolicySpec(mode=Mode.ENFORCE, ingress=(Rule("any", Action.ALLOW, None, None),)),
    )


def test_a_cluster_policy_in_full() -> None:
    spec = {
        "namespaceSelector": {"matchLabels": {"env": "prod"}},
        "egress": [{"name": "metadata", "action": "Deny", "to": [{"cidr": "169.254.169.254/32"}]}],
        "exceptions": corpus.exception(until="2027-03-31T01:00:00+02:00")["spec"]["exceptions"],
    }
    deny = Rule("metadata", Action.DENY, (CidrPeer("169.254.169.254/32"),), None)
    assert api.parse(corpus.cluster_policy(spec)) == ClusterSecurityPolicy(
        meta=ResourceMeta(name="floor"),
        namespace_selector=LabelBox.of({"env": labels.one_of("prod")}),
        spec=PolicySpec(egress=(deny,)),
        exceptions=(
            PodSecurityException(
                name="collector",
                namespace="logging",
                identities=("collector",),
                controls=("host-path",),
                reason="Reads the nodes' logs.",
                until="2027-03-30T23:00:00Z",
                policy="floor",
            ),
        ),
    )


def test_the_controls_that_a_policy_switches_on_are_sorted_and_keep_what_they_are_told() -> None:
    parsed = api.parse(
        corpus.policy(
            {
                "admission": {
                    "images": {"registries": ["b.example", "a.example/shop"], "requireDigest": True},
                    "credentials": {"forbidInEnvironment": True, "forbidSecretVariables": True, "names": ["PIN"]},
                    "resources": {"requireLimits": ["memory", "cpu"]},
                    "sessions": {"forbidExec": True},
                }
            }
        )
    )
    assert isinstance(parsed, SecurityPolicy)
    assert parsed.spec.admission == AdmissionSpec(
        controls=(
            Setting(ControlId.CREDENTIALS_ENVIRONMENT, ("PIN",)),
            Setting(ControlId.EXEC),
            Setting(ControlId.IMAGE_DIGEST),
            Setting(ControlId.IMAGE_REGISTRIES, ("a.example/shop", "b.example")),
            Setting(ControlId.RESOURCE_LIMITS, ("cpu", "memory")),
            Setting(ControlId.SECRET_VARIABLES),
        )
    )


def test_every_control_can_be_switched_on() -> None:
    def filled(node: Node) -> object:
        if isinstance(node, Obj):
            # Signatures are rules of their own, no controls to be switched on.
            return {each.name: filled(each.node) for each in node.fields if each is not signatures.SIGNATURES}
        if isinstance(node, ListOf):
            return [node.items.values[0] if isinstance(node.items, Choice) else "a.example"]
        return True

    admission_ = {each.name: filled(each.node) for each in admission.FIELDS}
    parsed = api.parse(corpus.policy({"admission": admission_}))
    assert isinstance(parsed, SecurityPolicy)
    assert [each.control for each in parsed.spec.admission.controls] == sorted(ControlId)


def test_an_empty_namespace_selector_selects_all() -> None:
    parsed = api.parse(corpus.cluster_policy())
    assert isinstance(parsed, ClusterSecurityPolicy)
    assert parsed.namespace_selector == LabelBox()


def test_all_mistakes_are_told_at_once() -> None:
    spec = {
        "mod": "Audit",
        "appliesTo": {"identities": []},
        "ingress": [
            {"form": [{"zone": "a"}]},
            {"name": "b", "from": [{"cidr": "10.0.0.1/8"}, {}], "ports": ["8443", True]},
        ],
        "egress": [{"name": "bank", "to": [{"host": "API.bank.example."}]}],
    }
    assert {path: (error.message, error.fix) for path, error in by_path(corpus.policy(spec)).items()} == {
        "spec.appliesTo.identities": ("is empty", "leave it out or give at least one entry"),
        "spec.egress[0].to[0].host": (
            '"API.bank.example." is not the name of a host in lower case, such as api.example.com or *.example.com',
            "write api.bank.example",
        ),
        "spec.ingress[0].form": ("is not a field", "did you mean from?"),
        "spec.ingress[0].name": (
            "is missing",
            "give a DNS label of lower-case letters, digits and, inside, '-'",
        ),
        "spec.ingress[1].from[0].cidr": ('"10.0.0.1/8" has host bits set', "the network is 10.0.0.0/8"),
        "spec.ingress[1].from[1]": (
            "a peer says nothing",
            "give one of identity, zone, namespace, spiffeID, cidr, apiServer, anonymous",
        ),
        "spec.ingress[1].ports[0]": ('"8443" is a string', "write the number without quotes: 8443"),
        "spec.ingress[1].ports[1]": ("is a boolean, true", "give a number, a name or an object"),
        "spec.mod": ("is not a field", "did you mean mode?"),
    }


@pytest.mark.parametrize(
    ("obj", "path", "fix"),
    [
        (None, "", "give an object with apiVersion, kind, metadata and spec"),
        ([], "", "give an object with apiVersion, kind, metadata and spec"),
        ({}, "apiVersion", "write ringfence.dev/v1alpha1"),
        ({**corpus.policy(), "kind": "SecurityPolcy"}, "kind", "did you mean SecurityPolicy?"),
        (
            {**corpus.policy(), "kind": ["x"]},
            "kind",
            "known: ServiceIdentity, SecurityPolicy, ClusterSecurityPolicy",
        ),
        ({**corpus.policy(), "metadata": None}, "metadata", "give metadata.name"),
        (corpus.policy(metadata={"name": "a"}), "metadata.namespace", "give the namespace that the resource is for"),
        (corpus.cluster_policy(metadata={"name": "a", "namespace": "b"}), "metadata.namespace", "leave it out"),
    ],
)
def test_what_is_hardly_a_resource(obj: Any, path: str, fix: str) -> None:
    assert by_path(obj)[path].fix == fix


def test_a_namespace_can_be_given_by_the_caller() -> None:
    without = corpus.policy(metadata={"name": "payments"})
    assert api.parse(without, default_namespace="shop").meta == META
    assert api.parse(corpus.policy(), default_namespace="other").meta == META
    assert api.parse(corpus.cluster_policy(), default_namespace="shop").meta.namespace == ""


def test_where_it_was_read_and_which_version_it_is() -> None:
    metadata = {"name": "payments", "namespace": "shop", "generation": 7, "uid": "u-1"}
    assert api.parse(corpus.policy(metadata=metadata), source="shop.yaml:3").meta == ResourceMeta(
        name="payments", namespace="shop", generation=7, uid="u-1", source="shop.yaml:3"
    )


def test_a_name_that_is_yet_to_be_generated_does_not_matter() -> None:
    parsed = api.parse(corpus.policy(metadata={"generateName": "payments-", "namespace": "shop"}))
    assert parsed.meta.name == "payments-"


def test_the_status_is_not_what_people_write() -> None:
    assert api.parse(corpus.policy(status={"anything": ["goes"]})) == api.parse(corpus.policy())


def test_many_mistakes_are_counted_and_the_first_are_told() -> None:
    rules = [{"name": f"r{n}", "action": "?"} for n in range(100)]
    found = errors(corpus.policy({"ingress": rules}))
    assert len(found) == api.MAX_ERRORS + 1
    assert found[0] == FieldError("spec", "50 more errors are not shown", "mend these first")
