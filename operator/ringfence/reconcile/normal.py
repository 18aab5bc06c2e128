"""One form for an object as Ringfence writes it and as the API server returns it, so that the two can be compared.

The API server fills in defaults and leaves out what is empty. Only what says something is compared: the content
(``spec``, ``webhooks``) as a whole, since a field that a stranger has added changes the meaning as much as one that was
changed, and of labels and annotations those that Ringfence sets.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from ringfence.model.ports import Object

_ENVELOPE: Final = frozenset({"apiVersion", "kind", "metadata", "status"})


def content(obj: Object) -> dict[str, Any]:
    """What the object says, with defaults filled in and nothing empty."""
    body = {key: value for key, value in obj.items() if key not in _ENVELOPE}
    fill = _DEFAULTS.get(obj.get("kind", ""))
    pruned = _prune(body)
    return pruned if fill is None else fill(pruned)


def agrees(desired: Object, observed: Object) -> bool:
    """Whether ``observed`` says what ``desired`` does, and nothing else."""
    if not carries(desired["metadata"], observed["metadata"]) or not _owners(desired) <= _owners(observed):
        return False
    # Mostly nothing has changed, and then the specs are equal as they are.
    spec = desired.get("spec")
    return (spec is not None and spec == observed.get("spec")) or content(desired) == content(observed)


def carries(desired: Mapping[str, Any], observed: Mapping[str, Any]) -> bool:
    """Whether metadata has the labels and annotations that it shall have; others may be there too."""
    return all(
        (observed.get(section) or {}).get(key) == value
        for section in ("labels", "annotations")
        for key, value in (desired.get(section) or {}).items()
    )


def _owners(obj: Object) -> set[str]:
    return {owner["uid"] for owner in obj["metadata"].get("ownerReferences") or ()}


def _prune(value: Any) -> Any:
    """Without None and without empty lists, which the API server does not keep; an empty object may mean all."""
    if isinstance(value, Mapping):
        return {key: _prune(each) for key, each in value.items() if each is not None and each != []}
    if isinstance(value, list):
        return [_prune(each) for each in value]
    return value


def _network_policy(body: dict[str, Any]) -> dict[str, Any]:
    spec = body.get("spec", {})
    for section in ("ingress", "egress"):
        for rule in spec.get(section, ()):
            for port in rule.get("ports", ()):
                port.setdefault("protocol", "TCP")
    return body


def _match_rules(rules: list[dict[str, Any]]) -> None:
    for rule in rules:
        rule.setdefault("scope", "*")


def _webhooks(body: dict[str, Any]) -> dict[str, Any]:
    for webhook in body.get("webhooks", ()):
        webhook.setdefault("failurePolicy", "Fail")
        webhook.setdefault("matchPolicy", "Equivalent")
        webhook.setdefault("namespaceSelector", {})
        webhook.setdefault("objectSelector", {})
        webhook.setdefault("timeoutSeconds", 10)
        _match_rules(webhook.get("rules", []))
        service = webhook.get("clientConfig", {}).get("service")
        if service is not None:
            service.setdefault("port", 443)
    body["webhooks"] = sorted(body.get("webhooks", ()), key=lambda webhook: str(webhook.get("name")))
    return body


def _mutating_webhooks(body: dict[str, Any]) -> dict[str, Any]:
    for webhook in body.get("webhooks", ()):
        webhook.setdefault("reinvocationPolicy", "Never")
    return _webhooks(body)


def _matched(resources: dict[str, Any] | None) -> None:
    if resources is None:
        return
    resources.setdefault("matchPolicy", "Equivalent")
    resources.setdefault("namespaceSelector", {})
    resources.setdefault("objectSelector", {})
    _match_rules(resources.get("resourceRules", []))
    _match_rules(resources.get("excludeResourceRules", []))


def _admission_policy(body: dict[str, Any]) -> dict[str, Any]:
    spec = body.get("spec", {})
    spec.setdefault("failurePolicy", "Fail")
    _matched(spec.get("matchConstraints"))
    return body


def _admission_policy_binding(body: dict[str, Any]) -> dict[str, Any]:
    _matched(body.get("spec", {}).get("matchResources"))
    return body


_DEFAULTS: Final[dict[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    "NetworkPolicy": _network_policy,
    "MutatingWebhookConfiguration": _mutating_webhooks,
    "ValidatingWebhookConfiguration": _webhooks,
    "ValidatingAdmissionPolicy": _admission_policy,
    "ValidatingAdmissionPolicyBinding": _admission_policy_binding,
}
