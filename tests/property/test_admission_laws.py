"""Laws of admission: policies only ever take away and exceptions never add up, whatever they and the pod are."""

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from ringfence.controls import evaluate, pod
from ringfence.controls.evaluate import Context
from ringfence.model.demands import ControlId, Setting
from ringfence.model.effective import AdmissionRequirement, ControlDemand, EffectivePolicy, RuleRef
from ringfence.model.labels import LabelBox
from ringfence.model.resources import Kind, Mode, PodSecurityException, PodSecurityLevel
from ringfence.model.world import Enrolment, Namespace

NOW = 1_800_000_000.0
SHOP = Namespace.of("shop", {"ringfence.dev/enroll": "enforce"})

#: Ways to spoil a pod, each for one control.
SPOILS: dict[str, dict[str, Any]] = {
    "host-path": {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]},
    "host-namespaces": {"hostPID": True},
    "host-aliases": {"hostAliases": [{"ip": "10.0.0.1", "hostnames": ["a"]}]},
}
CONTAINERS: dict[str, dict[str, Any]] = {
    "host-ports": {"ports": [{"containerPort": 8080, "hostPort": 8080}]},
    "privileged": {"securityContext": {"privileged": True}},
    "privileged-ports": {"ports": [{"containerPort": 80}]},
    "image-registries": {"image": "evil.example/x:v1"},
    "image-latest": {"image": "registry.example/x"},
    "credentials-environment": {"env": [{"name": "TOKEN", "value": "x1"}]},
}
SETTINGS = (
    Setting(ControlId.IMAGE_REGISTRIES, ("registry.example",)),
    Setting(ControlId.IMAGE_REGISTRIES, ("evil.example", "registry.example/x")),
    Setting(ControlId.IMAGE_DIGEST),
    Setting(ControlId.IMAGE_LATEST),
    Setting(ControlId.PRIVILEGED_PORTS),
    Setting(ControlId.HOST_ALIASES),
    Setting(ControlId.CREDENTIALS_ENVIRONMENT),
)
IDS = sorted({*SPOILS, *CONTAINERS, "image-digest", "capabilities"})


@st.composite
def pods(draw: st.DrawFn) -> pod.Pod:
    spec: dict[str, Any] = {"serviceAccountName": "till"}
    for name in draw(st.sets(st.sampled_from(sorted(SPOILS)))):
        spec |= SPOILS[name]
    containers = []
    for number in range(draw(st.integers(1, 2))):
        container: dict[str, Any] = {"name": f"c{number}", "image": "registry.example/x:v1"}
        for name in draw(st.sets(st.sampled_from(sorted(CONTAINERS)), max_size=3)):
            container |= CONTAINERS[name]
        containers.append(container)
    kind = draw(st.sampled_from(["containers", "initContainers"]))
    spec[kind] = containers
    return pod.of({"metadata": {"name": "p", "labels": {"ringfence.dev/identity": "till"}}, "spec": spec})


@st.composite
def exceptions(draw: st.DrawFn) -> PodSecurityException:
    return PodSecurityException(
        name=draw(st.sampled_from("abc")),
        namespace=draw(st.sampled_from(["shop", "shop", "shop", "other"])),
        identities=(draw(st.sampled_from(["till", "till", "till", "other"])),),
        controls=tuple(sorted(draw(st.sets(st.sampled_from(IDS), min_size=1, max_size=4)))),
        reason="r",
        until=draw(st.sampled_from(["2099-01-01T00:00:00Z"] * 3 + ["2020-01-01T00:00:00Z"])),
        policy=draw(st.sampled_from("xy")),
    )


@st.composite
def demands(draw: st.DrawFn) -> ControlDemand:
    settings = draw(st.lists(st.sampled_from(SETTINGS), min_size=1, max_size=4, unique_by=lambda each: each.control))
    floor = draw(st.booleans())
    kind, namespace = (Kind.CLUSTER_SECURITY_POLICY, "") if floor else (Kind.SECURITY_POLICY, "shop")
    ref = RuleRef(kind.value, namespace, draw(st.sampled_from("pq")), "admission")
    return ControlDemand(LabelBox(), tuple(sorted(settings, key=lambda s: s.control)), Mode.ENFORCE, ref)


FLOOR = AdmissionRequirement(
    LabelBox(),
    PodSecurityLevel.BASELINE,
    Mode.ENFORCE,
    RuleRef(Kind.CLUSTER_SECURITY_POLICY.value, "", "floor", "admission"),
)


def context(asked: Sequence[ControlDemand], given_: Sequence[PodSecurityException]) -> Context:
    policy = EffectivePolicy(
        "shop",
        Enrolment.ENFORCE,
        True,
        service_accounts=(("till", "till"),),
        admission=(FLOOR,),
        demands=tuple(asked),
        exceptions=tuple(given_),
    )
    return Context(SHOP, policy, NOW)


def admitted(subject: pod.Pod, asked: Sequence[ControlDemand], given_: Sequence[PodSecurityException]) -> bool:
    return evaluate.create(subject, context(asked, given_)).admitted


@given(pods(), st.lists(demands(), max_size=3), st.lists(exceptions(), max_size=4))
def test_exceptions_let_in_what_one_of_them_lets_in_alone(
    subject: pod.Pod, asked: list[ControlDemand], given_: list[PodSecurityException]
) -> None:
    alone = admitted(subject, asked, ()) or any(admitted(subject, asked, (each,)) for each in given_)
    assert admitted(subject, asked, given_) == alone


@given(pods(), pods(), st.lists(demands(), max_size=3), st.lists(exceptions(), max_size=4))
def test_nor_do_they_add_up_over_time(
    old: pod.Pod, new: pod.Pod, asked: list[ControlDemand], given_: list[PodSecurityException]
) -> None:
    outcome = evaluate.update(new, old, context(asked, given_))
    brings_nothing = evaluate.update(new, old, context(asked, ())).admitted
    assert outcome.admitted == (brings_nothing or any(admitted(new, asked, (each,)) for each in given_))


@given(pods(), st.lists(demands(), max_size=3), demands(), st.lists(exceptions(), max_size=3))
def test_one_more_policy_never_lets_more_in(
    subject: pod.Pod, asked: list[ControlDemand], more: ControlDemand, given_: list[PodSecurityException]
) -> None:
    assert admitted(subject, asked, given_) or not admitted(subject, [*asked, more], given_)


@given(pods(), st.lists(demands(), max_size=3), st.lists(exceptions(), max_size=4), st.randoms())
def test_the_order_of_policies_and_exceptions_does_not_matter(
    subject: pod.Pod, asked: list[ControlDemand], given_: list[PodSecurityException], random: Any
) -> None:
    before = evaluate.create(subject, context(asked, given_))
    random.shuffle(asked)
    random.shuffle(given_)
    after = evaluate.create(subject, context(asked, given_))
    assert [(each.control, each.field) for each in before.violations] == [
        (each.control, each.field) for each in after.violations
    ]
