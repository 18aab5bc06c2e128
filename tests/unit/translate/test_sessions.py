"""Where the API server asks about sessions: where a policy closes them, and nowhere else."""

from typing import Any

from ringfence import api
from ringfence.model.labels import LabelBox
from ringfence.model.resources import ClusterSecurityPolicy, SecurityPolicy
from ringfence.model.world import Installation, Namespace, World
from ringfence.translate import sessions
from ringfence.translate.sessions import Sessions

CLOSING = {"sessions": {"forbidExec": True}}
OTHER = {"pods": {"requireReadOnlyRoot": True}}


def own(namespace: str, admission: dict[str, Any] = CLOSING, mode: str = "Enforce") -> SecurityPolicy:
    metadata = {"name": "p", "namespace": namespace}
    value = api.parse(
        {
            "apiVersion": "ringfence.dev/v1alpha1",
            "kind": "SecurityPolicy",
            "metadata": metadata,
            "spec": {"mode": mode, "admission": admission},
        }
    )
    assert isinstance(value, SecurityPolicy)
    return value


def floor(
    selector: dict[str, Any], name: str = "floor", admission: dict[str, Any] = CLOSING, mode: str = "Enforce"
) -> ClusterSecurityPolicy:
    value = api.parse(
        {
            "apiVersion": "ringfence.dev/v1alpha1",
            "kind": "ClusterSecurityPolicy",
            "metadata": {"name": name},
            "spec": {"mode": mode, "namespaceSelector": selector, "admission": admission},
        }
    )
    assert isinstance(value, ClusterSecurityPolicy)
    return value


def world(
    enrolled: dict[str, str],
    *policies: SecurityPolicy | ClusterSecurityPolicy,
    labels: dict[str, str] | None = None,
) -> World:
    namespaces = {
        name: Namespace.of(name, {**(labels or {}), **({"ringfence.dev/enroll": value} if value else {})})
        for name, value in enrolled.items()
    }
    held: dict[str, tuple[SecurityPolicy, ...]] = {}
    for each in policies:
        if isinstance(each, SecurityPolicy):
            held[each.meta.namespace] = (*held.get(each.meta.namespace, ()), each)
    floors = tuple(each for each in policies if isinstance(each, ClusterSecurityPolicy))
    return World(Installation(exempt_namespaces=("legacy",)), namespaces, policies=held, cluster_policies=floors)


def told(given: World, undecided: frozenset[str] = frozenset()) -> tuple[set[str], set[str]]:
    """Names of the namespaces that are asked about, closed and only reported."""
    found = asked(given, undecided)
    return _selected(given, found.closed), _selected(given, found.reported)


def asked(given: World, undecided: frozenset[str] = frozenset()) -> Sessions:
    """Of every namespace what its own policies say, and then where to ask."""
    own_modes = {
        name: sessions.own(namespace, given.policies.get(name, ()), undecided=name in undecided)
        for name, namespace in given.namespaces.items()
    }
    return sessions.where(given, {name: mode for name, mode in own_modes.items() if mode is not None})


def _selected(given: World, boxes: tuple[LabelBox, ...]) -> set[str]:
    return {name for name, each in given.namespaces.items() if any(box.matches(each.labels) for box in boxes)}


def test_nowhere_without_a_policy_that_closes_them() -> None:
    given = world({"shop": "enforce"}, own("shop", OTHER), floor({}, admission=OTHER))
    assert asked(given) == Sessions()


def test_in_the_namespace_whose_policy_closes_them() -> None:
    given = world({"shop": "enforce", "bank": "enforce", "free": ""}, own("shop"), own("free"), own("bank", OTHER))
    assert told(given) == ({"shop"}, set())


def test_what_is_only_reported_is_so() -> None:
    given = world({"shop": "audit", "bank": "enforce"}, own("shop"), own("bank", mode="Audit"))
    assert told(given) == (set(), {"shop", "bank"})


def test_under_a_floor_by_its_labels_also_in_namespaces_yet_to_come() -> None:
    given = world({"shop": "enforce"}, floor({"matchLabels": {"env": "prod"}}))
    (box,) = asked(given).closed
    assert box.matches({"env": "prod", "ringfence.dev/enroll": "enforce", "kubernetes.io/metadata.name": "new"})
    for name in ("kube-system", "ringfence-system", "legacy"):
        assert not box.matches({"env": "prod", "ringfence.dev/enroll": "enforce", "kubernetes.io/metadata.name": name})
    assert told(given) == (set(), set())


def test_a_floor_only_reports_in_an_audited_namespace() -> None:
    assert told(world({"a": "audit", "b": "enforce", "c": ""}, floor({}))) == ({"b"}, {"a"})
    assert told(world({"a": "audit", "b": "enforce"}, floor({}, mode="Audit"))) == (set(), {"a", "b"})


def test_what_a_floor_selects_already_is_not_named() -> None:
    given = world({"shop": "enforce", "bank": "enforce"}, floor({}), own("shop"))
    assert len(asked(given).closed) == 1
    wide, narrow = floor({}, "wide"), floor({"matchLabels": {"env": "prod"}}, "narrow")
    assert len(asked(world({"shop": "enforce"}, wide, narrow)).closed) == 1


def test_where_nobody_understands_a_policy_it_may_close_them() -> None:
    given = world({"shop": "enforce", "bank": "enforce", "audited": "audit"})
    assert told(given, frozenset({"shop", "audited"})) == ({"shop"}, set())


def test_exempt_namespaces_never() -> None:
    given = world({"legacy": "enforce", "kube-system": "enforce"}, own("legacy"), floor({}))
    assert told(given, frozenset({"legacy"})) == (set(), set())


def test_too_many_names_and_too_many_floors_select_every_one() -> None:
    names = {f"n{number}": "enforce" for number in range(sessions.MOST_NAMES + 1)}
    crowd = asked(world(names, *(own(name) for name in names)))
    every = asked(world({}, floor({})))
    assert crowd.closed == every.closed
    floors = (floor({"matchLabels": {"env": f"e{n}"}}, f"f{n}") for n in range(sessions.MOST_SELECTORS + 1))
    assert asked(world({}, *floors)).closed == every.closed
