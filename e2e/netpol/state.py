"""What a case has made of the cluster so far: values only, so that every ground is brought to the same."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from e2e.enforcer.model import METADATA_NAME, Labels, Manifest, Protocol
from e2e.judge.client import Action

NAMESPACES, PODS = ("x", "y", "z"), ("a", "b", "c")
"""What cyclonus' cases start from: each of the pods in each of the namespaces."""
PORTS = (80, 81)
PROTOCOLS = tuple(Protocol)


@dataclass(frozen=True, slots=True)
class State:
    """Namespaces with their labels, pods ("namespace/name") with theirs, policies by namespace and name."""

    namespaces: Mapping[str, Labels]
    pods: Mapping[str, Labels]
    policies: Mapping[tuple[str, str], Manifest]


def initial() -> State:
    """What every case starts from."""
    return State(
        namespaces={each: _labelled(each, {"ns": each}) for each in NAMESPACES},
        pods={f"{namespace}/{pod}": {"pod": pod} for namespace in NAMESPACES for pod in PODS},
        policies={},
    )


def port_name(port: int, protocol: Protocol) -> str:
    """What cyclonus' cases call a served port."""
    return f"serve-{port}-{protocol.lower()}"


def after(state: State, action: Action) -> State:
    """Return the state that an action leads to. Raises ValueError for an action of an unknown kind."""
    pod, policy = f"{action.namespace}/{action.name}", (action.namespace, action.name)
    match action.verb:
        case "createPolicy" | "updatePolicy":
            assert action.policy is not None
            return replace(state, policies={**state.policies, policy: action.policy})
        case "deletePolicy":
            return replace(state, policies={key: value for key, value in state.policies.items() if key != policy})
        case "createNamespace" | "setNamespaceLabels":
            labels = _labelled(action.name, action.labels)
            return replace(state, namespaces={**state.namespaces, action.name: labels})
        case "deleteNamespace":
            return _without_namespace(state, action.name)
        case "createPod" | "setPodLabels":
            return replace(state, pods={**state.pods, pod: action.labels})
        case "deletePod":
            return replace(state, pods={key: value for key, value in state.pods.items() if key != pod})
    raise ValueError(f"action {action.verb!r}: not known here")


def _without_namespace(state: State, name: str) -> State:
    return State(
        namespaces={key: value for key, value in state.namespaces.items() if key != name},
        pods={key: value for key, value in state.pods.items() if not key.startswith(f"{name}/")},
        policies={key: value for key, value in state.policies.items() if key[0] != name},
    )


def _labelled(name: str, labels: Labels) -> Labels:
    return {**labels, METADATA_NAME: name}
