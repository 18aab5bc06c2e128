"""The backstop says of images, and of pods under exceptions, what the evaluator says: whatever anybody thinks of."""

import copy
import itertools
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from ringfence.controls import evaluate
from ringfence.controls.evaluate import Context
from ringfence.model.world import World
from ringfence.policy import resolve

from tests.component import backstop_rig, webhook_rig
from tests.component.backstop_rig import cluster_policy, policy
from tests.component.test_attacks_admission import PODS
from tests.component.test_image_references import PIECES
from tests.component.test_webhook_pod_security import VARIATIONS
from tests.component.webhook_rig import ENROLL, Rig, container, identity, pod
from tests.unit.model.test_image_reference import MEANT, WRONG

pytestmark = [pytest.mark.component, pytest.mark.timeout(300)]

WORKERS = 6
NOW = 1_800_000_000.0
PLACES = ["docker.io/library", "docker.io/team/app", "localhost", "registry.example", "registry.example:5000/a"]
NAMESPACES = {name: {ENROLL: "enforce"} for name in ("places", "digests", "floors", "limits")}
#: As many as a policy may name, and as long as they may be.
LONG = [f"registry-{number:03}.example/{'a' * 230}" for number in range(128)]
UNTIL = "2099-01-01T00:00:00Z"


def exception(name: str, *controls: str, until: str = UNTIL, who: str = "agent") -> dict[str, Any]:
    said = {"name": name, "namespace": "floors", "reason": "a test", "until": until}
    return {**said, "identities": [who], "controls": list(controls)}


def made() -> World:
    floor = {"podSecurity": "restricted", "images": {"registries": ["registry.example"]}}
    exceptions = [
        exception("node", "host-namespaces", "host-ports"),
        exception("volumes", "volume-types"),
        exception("root", "run-as-user", "run-as-non-root", "capabilities-restricted"),
        exception("privileges", "privileged", "privilege-escalation", "seccomp-restricted"),
        exception("weaker", "seccomp-restricted", "apparmor", "image-registries"),
        exception("ended", *sorted({control for _, control in PODS.values()}), until="2020-01-01T00:00:00Z"),
        exception("others", "privileged", "selinux", who="other"),
    ]
    resources = [
        policy("places", "images", admission={"images": {"registries": PLACES}}),
        policy("digests", "images", admission={"images": {"requireDigest": True}}),
        policy("floors", "own", admission={"podSecurity": {"level": "baseline", "version": "1.28"}}),
        cluster_policy(
            "floor",
            namespaceSelector={"matchLabels": {"kubernetes.io/metadata.name": "floors"}},
            admission=floor,
            exceptions=exceptions,
        ),
        # As much as resources may say: lists that no single expression could hold together, and many exceptions.
        *(policy("limits", f"images-{each}", admission={"images": {"registries": LONG}}) for each in range(2)),
        *(
            cluster_policy(
                f"limits-{number}",
                namespaceSelector={"matchLabels": {"kubernetes.io/metadata.name": "limits"}},
                admission={**floor, "images": {"registries": [f"floor-{number}.example", *LONG[1:]]}},
                exceptions=[
                    {**exception(f"e{number}-{each}", "image-registries"), "namespace": "limits"} for each in range(64)
                ],
            )
            for number in range(3)
        ),
        *(identity("limits", each) for each in ("default", "agent")),
        *(identity("floors", each) for each in ("default", "agent", "other")),
        *(identity(each, "default") for each in ("places", "digests")),
    ]
    return backstop_rig.world(NAMESPACES, resources)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    place = tmp_path_factory.mktemp("backstop-agrees")
    off = ["--disable-admission-plugins=ServiceAccount"]
    with webhook_rig.rig("backstop-agrees", place, webhook=False, arguments=off) as running:
        for name, labels in NAMESPACES.items():
            metadata = {"name": name, "labels": labels}
            assert running.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}).ok
        backstop_rig.hold(running, made(), NOW)
        bad = [pod("p", name, labels={"ringfence.dev/identity": "default"}, hostNetwork=True) for name in NAMESPACES]
        backstop_rig.wait_held(running, bad)
        yield running


Case = tuple[str, str, dict[str, Any]]


def agree(rig: Rig, cases: list[Case], *, controls: bool) -> tuple[int, int]:
    """How many pods were judged, and how many of them refused; fails for every disagreement at once.

    ``controls`` compares what is broken too: under exceptions the evaluator says what is left, the backstop all.
    """
    world, asking = made(), backstop_rig.Asking(rig)
    policies = {name: resolve.resolve(world, name) for name in NAMESPACES}
    judged = refused = 0

    def ask(case: Case) -> tuple[Case, int, str]:
        return case, *asking.create(case[0], case[2], case[1])

    with ThreadPoolExecutor(WORKERS) as pool:
        answers = list(pool.map(ask, cases))
    disagreements = []
    for (namespace, account, asked), status, message in answers:
        if status == 422 and "is invalid" in message:
            continue
        obj = {**asked, "spec": {**asked["spec"], "serviceAccountName": account}}
        context = Context(world.namespaces[namespace], policies[namespace], NOW)
        wanted = {
            each.control for each in evaluate.admit({"kind": "Pod", "apiVersion": "v1", **obj}, context).violations
        }
        said = backstop_rig.broken(status, message)
        judged, refused = judged + 1, refused + bool(wanted)
        if said is None or bool(said) != bool(wanted) or (controls and said != wanted):
            disagreements.append(f"{namespace} {account} {obj['spec']}: {sorted(wanted)}; {status} {message}")
    assert not disagreements, f"{len(disagreements)}:\n" + "\n".join(disagreements[:20])
    return judged, refused


def texts() -> list[str]:
    """Known references, right and wrong, references made of pieces, and such at the limits of length."""
    drawn = random.Random(5)  # noqa: S311 (the same texts each time)
    pieces = ["".join(drawn.choices(PIECES, k=drawn.randint(1, 7))) for _ in range(1500)]
    digest = "@sha256:" + "a" * 64
    lengths = [f"registry.example/{'a' * size}{digest}" for size in (254, 255, 256, 940, 1000)]
    lengths += [f"{'a' * size}.example/x{digest}" for size in (247, 248, 249)]
    lengths += [f"registry.example/a:{'v' * size}" for size in (128, 129)]
    return [*dict.fromkeys([*(text for text, _ in MEANT), *WRONG, *lengths, *pieces])]


def test_of_images(rig: Rig, summary: Callable[[str], None]) -> None:
    cases: list[Case] = [
        (namespace, "default", {"spec": {"containers": [{"name": "main", "image": text}]}})
        for text in texts()
        for namespace in ("places", "digests")
    ]
    judged, refused = agree(rig, cases, controls=True)
    assert judged > 2000
    assert 200 < refused < judged - 100
    summary(f"images, by the backstop alone: {judged} pods, {refused} of them refused")


def test_of_the_largest_policies(rig: Rig) -> None:
    """Such a policy is written at all, and answers: for those whom an exception frees of registries, and for others."""
    images = [f"{LONG[7]}/x", LONG[0], f"{LONG[127]}:v1", f"{LONG[7]}a/x", "nginx"]
    pods = [pod("p", "limits", containers=[{**container("main"), "image": image}]) for image in images]
    cases: list[Case] = [("limits", account, each) for each in pods for account in ("default", "agent")]
    judged, refused = agree(rig, cases, controls=False)
    assert (judged, refused) == (10, 5)


def test_of_exceptions(rig: Rig, summary: Callable[[str], None]) -> None:
    specs = [*(spec for spec, _ in PODS.values()), *VARIATIONS.values()]
    pairs = [{**one, **other} for one, other in itertools.combinations([spec for spec, _ in PODS.values()], 2)]
    cases: list[Case] = []
    for number, spec in enumerate([*specs, *pairs]):
        one = pod("p", "floors", **copy.deepcopy(spec))
        if number % 5 == 0:
            one["spec"]["containers"][0]["image"] = "elsewhere.example/x"
        if number % 7 == 0:
            one["spec"]["containers"].append(container("more", context={"privileged": True}))
        cases += [("floors", account, one) for account in ("default", "agent", "other")]
    judged, refused = agree(rig, cases, controls=False)
    assert judged > 1000
    assert 300 < refused < judged - 150
    summary(f"pods under exceptions, by the backstop alone: {judged} pods, {refused} of them refused")
