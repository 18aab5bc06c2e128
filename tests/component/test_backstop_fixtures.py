"""Every pod that Kubernetes tests its Pod Security with gets from the backstop the answer that the evaluator gives.

The fixtures come from the Go module ``k8s.io/pod-security-admission``; each is created as a dry run in a namespace
that asks for its level at its version, with no webhook at all. The API server says which controls a pod breaks, and
they must be those that the evaluator says.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from ringfence.controls import evaluate
from ringfence.controls.evaluate import Context
from ringfence.model.effective import AdmissionRequirement, EffectivePolicy, RuleRef
from ringfence.model.labels import LabelBox
from ringfence.model.resources import Mode, PodSecurityLevel
from ringfence.model.world import Enrolment, Namespace
from ringfence.translate import admission_policy
from ringfence.translate.backstop import asked

from e2e.podsecurity import fixtures
from e2e.podsecurity.client import Standard
from e2e.podsecurity.fixtures import Fixture
from tests.component import backstop_rig, webhook_rig
from tests.component.webhook_rig import ENROLL, Rig, until

pytestmark = [pytest.mark.component, pytest.mark.timeout(600)]

REF = RuleRef("SecurityPolicy", "x", "level", "admission")
WORKERS = 6


def namespace_of(standard: Standard) -> str:
    return f"{standard.level}-{standard.minor}"


def policy_of(standard: Standard) -> EffectivePolicy:
    asks = AdmissionRequirement(LabelBox(), PodSecurityLevel(standard.level), Mode.ENFORCE, REF, standard.minor)
    accounts = (("default", "default"),)
    return EffectivePolicy(namespace_of(standard), Enrolment.ENFORCE, True, accounts, admission=(asks,))


@pytest.fixture(scope="module")
def known() -> list[Fixture]:
    return fixtures.load()


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, known: list[Fixture]) -> Iterator[Rig]:
    place = tmp_path_factory.mktemp("backstop-fixtures")
    # Namespaces need no ServiceAccount then, nor to be waited for.
    off = ["--disable-admission-plugins=PodSecurity,ServiceAccount"]
    with webhook_rig.rig("backstop-fixtures", place, webhook=False, arguments=off) as made:
        standards = sorted({each.standard for each in known}, key=str)
        for standard in standards:
            metadata = {"name": namespace_of(standard), "labels": {ENROLL: "enforce"}}
            assert made.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}).ok
        placed = [each for standard in standards for each in asked.of(policy_of(standard), 0.0)]
        for obj in admission_policy.objects(made.installation, placed=placed):
            reply = made.api.apply(obj)
            assert reply.ok, reply.message
        bad = {"spec": {"hostNetwork": True, "containers": [{"name": "c", "image": "i"}]}}
        asking = backstop_rig.Asking(made)
        for standard in standards:
            until(lambda standard=standard: asking.create(namespace_of(standard), bad)[0] == 403, 60)
        yield made


def expected(case: Fixture) -> set[str]:
    """The controls that the evaluator says the pod breaks."""
    namespace = Namespace.of(namespace_of(case.standard), {ENROLL: "enforce"})
    context = Context(namespace, policy_of(case.standard), 0.0)
    outcome = evaluate.admit({"apiVersion": "v1", "kind": "Pod", **case.pod}, context)
    return {each.control for each in outcome.violations}


def test_the_backstop_says_what_the_evaluator_says(
    rig: Rig, known: list[Fixture], summary: Callable[[str], None]
) -> None:
    start = time.monotonic()
    assert len(known) > 4200
    invalid: list[str] = []
    asking = backstop_rig.Asking(rig)

    def disagreement(case: Fixture) -> str:
        status, message = asking.create(namespace_of(case.standard), case.pod)
        wanted = expected(case)
        if status == 422 and wanted and "is invalid" in message:
            # No API server takes such a pod, and neither should the evaluator.
            invalid.append(case.path)
            return ""
        if backstop_rig.broken(status, message) == wanted:
            return ""
        return f"{case.path}: the evaluator {sorted(wanted)}; the backstop {status} {message}"

    with ThreadPoolExecutor(WORKERS) as pool:
        disagreements = [each for each in pool.map(disagreement, known) if each]
    assert not disagreements, f"{len(disagreements)}:\n" + "\n".join(disagreements[:40])
    assert len(invalid) < 10, invalid
    asked_of = len(known) - len(invalid)
    summary(
        f"fixtures of Kubernetes, by the backstop alone: {asked_of} pods ({len(invalid)} more the API server refuses "
        f"itself), {time.monotonic() - start:.0f} s"
    )
