"""The webhook configurations: what the API server asks Ringfence about, and what happens when nobody answers.

Closed where it must be (pods and NetworkPolicies of enrolled namespaces, labels that enrol, Ringfence's own kinds),
open where a missing answer only loses a warning, and never asked about what must not wait: status updates, evictions,
bindings, changes of pods that nobody judges, the namespaces of Kubernetes and of Ringfence, and Namespaces whose
reserved labels do not change.
"""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ringfence.api.v1alpha1 import selectors
from ringfence.model import names
from ringfence.model.foreign_policies import FOREIGN
from ringfence.model.ports import Object
from ringfence.model.world import Enrolment, Installation
from ringfence.translate import admission_policy, cel
from ringfence.translate.backstop import form
from ringfence.translate.exempt import exempt_namespaces
from ringfence.translate.sessions import NOWHERE, Sessions

NAME: Final = "ringfence"
SERVICE: Final = "ringfence-webhook"
API_VERSION: Final = admission_policy.API_VERSION

MUTATE: Final = "/mutate"
VALIDATE: Final = "/validate"
WARN: Final = "/warn"

#: Seconds. The API server's own bound is 30; a webhook that answers from memory needs milliseconds.
TIMEOUT: Final = 3
TIMEOUT_WARNINGS: Final = 2

#: Pod subresources that never wait for a webhook; the backstop policies hold what must hold there.
UNWATCHED: Final = ("binding", "eviction", "status")

#: Ways into running pods that no NetworkPolicy and no admission of pods sees.
SESSIONS: Final = ("pods/attach", "pods/exec", "pods/portforward")

_OWN: Final = ("clustersecuritypolicies", "securitypolicies", "serviceidentities")
_PODS: Final = ("pods", "pods/*")
_WRITES: Final = ("CREATE", "UPDATE")
#: Images that are not known are asked for (an ImageVerdict) and Events written, but for a dry run.
_ASKS: Final = {"sideEffects": "NoneOnDryRun"}


#: Whether a request changes anything of a pod that is judged. A finalizer goes and an owner changes without an answer,
#: so that Jobs end and what is deleted goes while every webhook is away.
_CHANGES: Final = cel.either(
    "request.operation != 'UPDATE' || request.kind.kind != 'Pod'",
    "object.spec != oldObject.spec",
    f"{cel.labels('object')} != {cel.labels('oldObject')}",
    f"{cel.annotations('object')} != {cel.annotations('oldObject')}",
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the API server finds the webhook.

    ``ca_bundle`` is PEM, old and new roots while they overlap. ``url`` (``https://host:port``) is for processes outside
    the cluster; otherwise it is the Service in Ringfence's namespace.
    """

    ca_bundle: bytes
    url: str = ""
    service: str = SERVICE
    port: int = 443


def objects(
    installation: Installation,
    endpoint: Endpoint,
    *,
    controller: str = admission_policy.CONTROLLER,
    default_enrolment: Enrolment = Enrolment.NONE,
    sessions: Sessions = NOWHERE,
) -> tuple[dict[str, Any], ...]:
    """The mutating and the validating configuration, both named ``ringfence``; ``sessions`` says where they matter."""
    made = _Maker(installation, endpoint, exempt_namespaces(installation))
    mutating = [made.arriving()]
    if default_enrolment is not Enrolment.NONE:
        mutating.append(made.new_namespaces())
    user = admission_policy.controller_user(installation, controller)
    validating = [made.pods(user), *made.sessions(sessions), made.resources(user), made.warnings()]
    return (
        _configuration("MutatingWebhookConfiguration", mutating),
        _configuration("ValidatingWebhookConfiguration", validating),
    )


@dataclass(frozen=True, slots=True)
class _Maker:
    """Builds the entries of both configurations."""

    installation: Installation
    endpoint: Endpoint
    exempt: tuple[str, ...]

    def arriving(self) -> dict[str, Any]:
        """Sets the identity label and judges pods a first time, before the API server asks its own policies.

        Asked again when a later mutator has changed the pod. Named as the one that judges the final pod, so that audit
        annotations have one key.
        """
        rules = [
            form.rule("", ("pods",), _WRITES),
            form.rule("", ("pods/ephemeralcontainers",), ("UPDATE",)),
        ]
        # Images of pods that are refused are asked for, and never for a dry run.
        webhook = {**self._webhook("pods", MUTATE, rules, {"changes": _CHANGES}), **self._enrolled(), **_ASKS}
        return {**webhook, "reinvocationPolicy": "IfNeeded"}

    def new_namespaces(self) -> dict[str, Any]:
        """Enrols new namespaces as the platform wants by default."""
        rules = [form.rule("", ("namespaces",), ("CREATE",))]
        conditions = {
            "not-exempt": f"!({cel.name('object')} in {cel.literal(self.exempt)})",
            "not-enrolled": f"!({cel.literal(names.LABEL_ENROLL)} in {cel.labels('object')})",
        }
        webhook = self._webhook("namespaces", MUTATE, rules, conditions)
        return {**webhook, "reinvocationPolicy": "IfNeeded"}

    def pods(self, user: str) -> dict[str, Any]:
        """Judges pods however they are written, and strangers' NetworkPolicies, those in networks' own kinds as well.

        Not their deletion: a namespace that ends must not wait for a webhook, and the backstop holds it.
        """
        rules = [
            form.rule("", _PODS, _WRITES),
            form.rule("networking.k8s.io", ("networkpolicies",), _WRITES),
            *(form.rule(each.group, (each.plural,), _WRITES) for each in FOREIGN),
        ]
        conditions = {
            "may-wait": f"request.resource.resource != 'pods' || !({cel.SUBRESOURCE} in {cel.literal(UNWATCHED)})",
            "changes": _CHANGES,
            "not-by-ringfence": (
                f"request.resource.group != 'networking.k8s.io' || request.userInfo.username != {cel.literal(user)}"
            ),
        }
        # Events are written about what is only reported and images are asked for, and never for a dry run.
        return {**self._webhook("pods", VALIDATE, rules, conditions), **self._enrolled(), **_ASKS}

    def sessions(self, where: Sessions) -> list[dict[str, Any]]:
        """Judge what people open into pods that run, where a policy closes it; open where that is only reported."""
        rules = [form.rule("", SESSIONS, ("CONNECT",))]
        made = []
        for name, boxes, failure in (("sessions", where.closed, "Fail"), ("session-reports", where.reported, "Ignore")):
            selected = [selector for box in boxes for selector in box.selectors()]
            for number, selector in enumerate(selected, 1):
                webhook = self._webhook(name if number == 1 else f"{name}-{number}", VALIDATE, rules)
                made.append({**webhook, "namespaceSelector": selector, **_ASKS, "failurePolicy": failure})
        return made

    def resources(self, user: str) -> dict[str, Any]:
        """Judges Ringfence's own kinds everywhere, and Namespaces when a label of Ringfence's changes."""
        rules = [form.rule("", ("namespaces", "namespaces/*"), _WRITES), form.rule(names.GROUP, _OWN, _WRITES)]
        conditions = {
            "is-ringfences": cel.either(
                f"request.resource.group == {cel.literal(names.GROUP)}",
                cel.reserved_differ(cel.labels("object"), cel.labels("oldObject")),
            ),
            "not-by-ringfence": f"request.userInfo.username != {cel.literal(user)}",
        }
        return self._webhook("resources", VALIDATE, rules, conditions)

    def warnings(self) -> dict[str, Any]:
        """Tells the author of a workload what its pods will be refused for; refuses nothing itself."""
        rules = [
            form.rule("", ("podtemplates", "replicationcontrollers"), _WRITES),
            form.rule("apps", ("daemonsets", "deployments", "replicasets", "statefulsets"), _WRITES),
            form.rule("batch", ("cronjobs", "jobs"), _WRITES),
            form.rule(names.GROUP, ("serviceidentities",), ("DELETE",)),
        ]
        webhook = self._webhook("warnings", WARN, rules)
        webhook = {**webhook, **self._enrolled(), **_ASKS}
        return {**webhook, "failurePolicy": "Ignore", "timeoutSeconds": TIMEOUT_WARNINGS}

    def _enrolled(self) -> dict[str, Any]:
        return {"namespaceSelector": admission_policy.enrolled_selector(self.exempt)}

    def _webhook(
        self, name: str, path: str, rules: list[dict[str, Any]], conditions: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        webhook: dict[str, Any] = {
            "name": f"{name}.{names.GROUP}",
            "admissionReviewVersions": ["v1"],
            "clientConfig": self._client(path),
            "failurePolicy": "Fail",
            "matchPolicy": "Equivalent",
            "rules": rules,
            "sideEffects": "None",
            "timeoutSeconds": TIMEOUT,
        }
        return {**webhook, "matchConditions": cel.named(conditions)} if conditions else webhook

    def _client(self, path: str) -> dict[str, Any]:
        bundle = base64.b64encode(self.endpoint.ca_bundle).decode()
        if self.endpoint.url:
            return {"url": self.endpoint.url + path, "caBundle": bundle}
        service = {
            "name": self.endpoint.service,
            "namespace": self.installation.namespace,
            "path": path,
            "port": self.endpoint.port,
        }
        return {"service": service, "caBundle": bundle}


def asks_about_sessions(webhooks: Iterable[Object], labels: Mapping[str, str], *, closed: bool) -> bool:
    """Whether entries of a configuration have the API server ask about sessions into pods of a namespace.

    ``labels`` are the Namespace's, its name among them; ``closed``: only an entry that fails closed counts.
    """
    for each in webhooks:
        asked = {resource for rule in each.get("rules") or () for resource in rule.get("resources") or ()}
        fails = each.get("failurePolicy") == "Fail"
        counts = asked.issuperset(SESSIONS) and (fails or not closed)
        if counts and selectors.box(each.get("namespaceSelector") or {}).matches(labels):
            return True
    return False


def _configuration(kind: str, webhooks: list[dict[str, Any]]) -> dict[str, Any]:
    labels = {names.LABEL_MANAGED_BY: names.MANAGED_BY, names.LABEL_PURPOSE: admission_policy.PURPOSE}
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {"name": NAME, "labels": labels},
        "webhooks": webhooks,
    }
