"""From the world to what holds in one namespace."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ringfence.model import labels
from ringfence.model.demands import ControlId, Setting
from ringfence.model.effective import ControlDemand, RuleRef
from ringfence.model.labels import LabelBox
from ringfence.model.names import LABEL_ENROLL, LABEL_IDENTITY
from ringfence.model.resources import (
    MTLS,
    AdmissionSpec,
    AppliesTo,
    Mode,
    PodSecurityException,
    PodSecurityLevel,
    Transport,
)
from ringfence.model.world import Enrolment, Namespace, Workload
from ringfence.policy.resolve import resolve

from tests.unit.policy import making
from tests.unit.policy.making import allow, caller, deny, floor, identity, pod, policy


class Watched(Mapping[str, Any]):
    """A mapping that remembers which namespaces were asked for."""

    def __init__(self, inner: Mapping[str, Any]) -> None:
        self._inner = inner
        self.asked: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self.asked.add(key)
        return self._inner[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._inner)

    def __len__(self) -> int:
        return len(self._inner)


def test_only_what_concerns_the_namespace_is_read() -> None:
    known = making.world(policy(ingress=(allow("bank", caller("web", "bank")),)), policy(namespace="bank", ingress=()))
    workloads, policies, identities = Watched(known.workloads), Watched(known.policies), Watched(known.identities)
    resolve(replace(known, workloads=workloads, policies=policies, identities=identities), "shop")
    assert workloads.asked == {"shop"}
    assert policies.asked == {"shop"}
    assert identities.asked == {"shop", "bank"}


def test_a_namespace_that_does_not_exist_is_not_enrolled() -> None:
    found = resolve(making.world(), "nowhere")
    assert (found.enrolment, found.closed) == (Enrolment.NONE, False)


def test_kubernetes_own_namespaces_are_never_enrolled() -> None:
    for name in ("kube-system", "kube-public", "kube-node-lease", "ringfence-system", "spared"):
        installation = replace(making.INSTALLATION, exempt_namespaces=("spared",))
        labelled = Namespace.of(name, {LABEL_ENROLL: "enforce"}, enforced=True)
        found = resolve(making.world(namespaces=(labelled,), installation=installation), name)
        assert (found.enrolment, found.closed) == (Enrolment.NONE, False)
        assert [finding.reason for finding in found.findings] == ["NamespaceExempt"]


def test_an_empty_namespace_closes_at_once() -> None:
    fresh = Namespace.of("fresh", {LABEL_ENROLL: "enforce"})
    assert resolve(making.world(namespaces=(fresh,)), "fresh").closed


def test_pods_from_before_the_enrolment_keep_a_namespace_open_until_it_was_closed_once() -> None:
    fresh = Namespace.of("fresh", {LABEL_ENROLL: "enforce"})
    old = Workload("fresh", "old", "web", {LABEL_IDENTITY: "other"})
    staged = resolve(making.world(namespaces=(fresh,), pods=(old, pod("new", "fresh"))), "fresh")
    assert not staged.closed
    assert ["old" in finding.message for finding in staged.findings if finding.reason == "Staged"] == [True]
    latched = Namespace.of("fresh", {LABEL_ENROLL: "enforce"}, enforced=True)
    assert resolve(making.world(namespaces=(latched,), pods=(old,)), "fresh").closed


def test_pods_that_ended_or_use_the_nodes_network_do_not_keep_a_namespace_open() -> None:
    fresh = Namespace.of("fresh", {LABEL_ENROLL: "enforce"})
    done = Workload("fresh", "done", "web", finished=True)
    agent = Workload("fresh", "agent", "web", host_network=True)
    assert resolve(making.world(namespaces=(fresh,), pods=(done, agent)), "fresh").closed


def test_many_old_pods_are_counted_not_listed() -> None:
    fresh = Namespace.of("fresh", {LABEL_ENROLL: "enforce"})
    old = tuple(Workload("fresh", f"old-{number:02}", "web") for number in range(25))
    (finding,) = making.findings(making.world(namespaces=(fresh,), pods=old), "Staged", "fresh")
    assert "old-09 and 15 more" in finding.message
    assert "old-10" not in finding.message


def test_strangers_policies_keep_a_namespace_open_until_it_was_closed_once() -> None:
    fresh = Namespace.of("fresh", {LABEL_ENROLL: "enforce"})
    known = replace(making.world(namespaces=(fresh,)), strangers={"fresh": ("allow-all",), "shop": ("allow-all",)})
    assert not resolve(known, "fresh").closed
    assert len(making.findings(known, "StrangersNetworkPolicies", "fresh")) == 1
    assert resolve(known, "shop").closed


def test_service_accounts_map_to_the_first_identity_by_name() -> None:
    twice = (identity("shop", "zzz", "web"), identity("shop", "aaa", "web"))
    known = making.world(identities=twice)
    assert dict(resolve(known, "shop").service_accounts)["web"] == "aaa"
    duplicates = making.findings(known, "DuplicateServiceAccount")
    assert [finding.subject[2] for finding in duplicates] == ["aaa", "web", "zzz"]


def test_a_service_account_too_long_for_a_label_is_no_identity() -> None:
    known = making.world(
        policy(applies_to=AppliesTo(identities=("long",)), ingress=(allow("long", caller("long")),)),
        identities=(identity("shop", "long", "a" * 64),),
    )
    (rule,) = [rule for rule in resolve(known, "shop").rules if rule.ref.rule == "long"]
    assert rule.subject.empty
    assert rule.peers == ()
    assert len(making.findings(known, "InvalidServiceAccount")) == 1


def test_rules_are_sorted_and_complete() -> None:
    known = making.world(
        policy("b", ingress=(allow("z", caller("web")), deny("a", caller("api")))),
        policy("a", egress=(allow("x", caller("db")),)),
        floors=(floor(ingress=(deny("f", caller("web", "bank")),)),),
    )
    refs = [str(rule.ref) for rule in resolve(known, "shop").rules]
    assert refs == [
        "ClusterSecurityPolicy floor rule f",
        "SecurityPolicy shop/a rule x",
        "SecurityPolicy shop/b rule a",
        "SecurityPolicy shop/b rule z",
    ]


def test_egress_lists_join_identities_and_keep_selectors() -> None:
    selector = LabelBox.of({"tier": labels.one_of("back")})
    some = (allow("x", caller("db")),)
    known = making.world(
        policy("a", applies_to=AppliesTo(identities=("web",)), egress=some),
        policy("b", applies_to=AppliesTo(identities=("api",)), egress=some),
        policy("c", applies_to=AppliesTo(pod_selector=selector), egress=some),
        policy("d", applies_to=AppliesTo(identities=("db",)), egress=some, mode=Mode.AUDIT),
    )
    found = resolve(known, "shop")
    assert found.egress_listed == (LabelBox.of({LABEL_IDENTITY: labels.one_of("api", "web")}), selector)
    assert found.egress_listed_audit == (LabelBox.of({LABEL_IDENTITY: labels.one_of("db")}),)


def test_too_many_ways_of_listing_egress_leave_the_default_closed() -> None:
    def selector(number: int) -> AppliesTo:
        keys = (f"a{number}", f"b{number}")
        return AppliesTo(pod_selector=LabelBox.of({key: labels.one_of("x") for key in keys}))

    policies = [policy(f"p{number}", applies_to=selector(number), egress=()) for number in range(8)]
    known = making.world(*policies)
    assert [rule.ref.policy for rule in resolve(known, "shop").rules] == []
    assert len(making.findings(known, "TooComplex")) == 1


def test_transport_admission_and_exceptions_are_gathered() -> None:
    exception = PodSecurityException("x", "shop", ("web",), ("privileged",), "why", "2030-01-01T00:00:00Z")
    strict = replace(
        floor(ingress=()),
        spec=replace(
            floor().spec,
            transport=Transport(MTLS.STRICT, "1.3"),
            admission=AdmissionSpec(PodSecurityLevel.BASELINE),
        ),
        exceptions=(exception, replace(exception, namespace="bank")),
    )
    elsewhere = replace(
        floor("other", selector=LabelBox.of({LABEL_ENROLL: labels.one_of("never")})),
        exceptions=(replace(exception, name="y"),),
    )
    audited = policy("a", mode=Mode.AUDIT)
    tried = replace(audited, spec=replace(audited.spec, transport=Transport(MTLS.DISABLED)))
    audited_floor = replace(floor("tried", mode=Mode.AUDIT, ingress=()), exceptions=(replace(exception, name="z"),))
    found = resolve(making.world(tried, floors=(strict, elsewhere, audited_floor)), "shop")
    assert found.transport == ((LabelBox(), Transport(MTLS.STRICT, "1.3")),)
    assert [(need.level, need.ref.policy) for need in found.admission] == [(PodSecurityLevel.BASELINE, "floor")]
    assert found.exceptions == (exception,)


def test_transport_without_proxies_is_a_promise_that_nobody_keeps() -> None:
    wish = policy("p")
    wish = replace(wish, spec=replace(wish.spec, transport=Transport(MTLS.STRICT)))
    without, with_ = (replace(making.INSTALLATION, proxies=proxies) for proxies in (False, True))
    (found,) = resolve(making.world(wish, installation=without), "shop").findings
    assert (found.subject, found.reason) == (("SecurityPolicy", "shop", "p"), "NoProxies")
    assert "proxy.enabled" in found.message
    assert resolve(making.world(wish, installation=with_), "shop").findings == ()


def test_the_controls_that_policies_ask_for_are_gathered_floors_first() -> None:
    asked = Setting(ControlId.IMAGE_REGISTRIES, ("registry.example",))
    floor_ = floor("strict", ingress=())
    floor_ = replace(floor_, spec=replace(floor_.spec, admission=AdmissionSpec(controls=(asked,))))
    elsewhere = replace(floor_, namespace_selector=LabelBox.of({LABEL_ENROLL: labels.one_of("never")}))
    own = policy("a", mode=Mode.AUDIT, applies_to=AppliesTo(pod_selector=LabelBox.of({"app": labels.one_of("x")})))
    own = replace(own, spec=replace(own.spec, admission=AdmissionSpec(controls=(Setting(ControlId.EXEC), asked))))
    found = resolve(making.world(own, policy("b", ingress=()), floors=(floor_, elsewhere)), "shop")
    assert found.demands == (
        ControlDemand(LabelBox(), (asked,), Mode.ENFORCE, RuleRef("ClusterSecurityPolicy", "", "strict", "admission")),
        ControlDemand(
            LabelBox.of({"app": labels.one_of("x")}),
            (Setting(ControlId.EXEC), asked),
            Mode.AUDIT,
            RuleRef("SecurityPolicy", "shop", "a", "admission"),
        ),
    )
    assert found.admission == ()


def test_a_policy_that_selects_no_pods_is_said_only_where_there_are_pods() -> None:
    selector = AppliesTo(pod_selector=LabelBox.of({"app": labels.one_of("x")}))
    assert making.findings(making.world(policy(applies_to=selector, ingress=())), "SelectsNoPods") == []
    known = making.world(policy(applies_to=selector, ingress=()), pods=(pod("web"),))
    assert [finding.subject[2] for finding in making.findings(known, "SelectsNoPods")] == ["p"]


def test_the_same_finding_twice_counts_once() -> None:
    known = making.world(floors=(floor(ingress=(allow("x", caller("ghost")),), egress=(allow("x", caller("ghost")),)),))
    assert len(making.findings(known, "UnknownIdentity")) == 1


def test_pods_whose_identity_is_gone_stay_governed() -> None:
    known = making.world(policy(applies_to=AppliesTo(identities=("ghost",)), egress=(allow("x", caller("db")),)))
    found = resolve(known, "shop")
    assert found.egress_listed == (LabelBox.of({LABEL_IDENTITY: labels.one_of("ghost")}),)
    (finding,) = [each for each in found.findings if each.reason == "UnknownIdentity"]
    assert "governs the pods of ServiceAccount ghost meanwhile" in finding.message
