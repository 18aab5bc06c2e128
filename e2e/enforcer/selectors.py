"""Label selectors, as the Kubernetes API defines them (metav1.LabelSelector)."""

from e2e.enforcer.model import Labels, Manifest


def matches(selector: Manifest, labels: Labels) -> bool:
    """Return whether every requirement of ``selector`` holds; an empty selector matches everything."""
    wanted = selector.get("matchLabels") or {}
    if any(key not in labels or labels[key] != value for key, value in wanted.items()):
        return False
    return all(_holds(each, labels) for each in selector.get("matchExpressions") or [])


def _holds(expression: Manifest, labels: Labels) -> bool:
    key, values = expression["key"], expression.get("values") or []
    match expression["operator"]:
        case "In":
            return key in labels and labels[key] in values
        case "NotIn":
            return key not in labels or labels[key] not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case _:
            # The API server refuses other operators. Should one come, matching nothing could open a pod that the policy
            # meant to close, so the caller must not go on with it.
            raise ValueError(f"operator {expression['operator']!r}: want In, NotIn, Exists or DoesNotExist")
