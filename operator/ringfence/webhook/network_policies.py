"""NetworkPolicies of enforced namespaces: they add up, so one stranger's allow-all would undo everything.

Deletes are held by the policy ``ringfence-network-policies`` inside the API server alone: who may delete Ringfence's
is a question for RBAC, and a namespace that is being deleted must not wait for a webhook.
"""

from typing import Any, Final

import msgspec

from ringfence.controls.pod import Meta
from ringfence.model.names import LABEL_MANAGED_BY, MANAGED_BY
from ringfence.model.world import Enrolment
from ringfence.webhook.view import Missing, Rules, Unknown, View
from ringfence.webhook.wire import ALLOWED, Answer, BadReview, Request

STRANGERS: Final = "network-policies"


class _NetworkPolicy(msgspec.Struct, frozen=True):
    metadata: Meta = Meta()
    spec: dict[str, Any] | None = None

    @property
    def own(self) -> bool:
        return (self.metadata.labels or {}).get(LABEL_MANAGED_BY) == MANAGED_BY


_decoder: Final = msgspec.json.Decoder(_NetworkPolicy)


def validate(request: Request, view: View, rules: Rules, now: float) -> Answer:
    """Refuse what is not Ringfence's; a stranger's from before enrolment may change in its metadata only."""
    del now
    if request.operation in {"DELETE", "CONNECT"} or request.user_info.username == rules.controller:
        return ALLOWED
    name = request.namespace or ""
    if not name:
        raise BadReview("request.namespace is missing")
    namespace = view.namespace(name)
    if namespace is None:
        raise Unknown(Missing("Namespace", "", name))
    if namespace.enrolment is not Enrolment.ENFORCE:
        return ALLOWED
    new = _decoder.decode(request.object)
    if request.has_old_object:
        old = _decoder.decode(request.old_object)
        if not old.own and not new.own and old.spec == new.spec:
            return ALLOWED
    message = (
        f"Ringfence refuses NetworkPolicy {name}/{request.name or new.metadata.shown_name}: in a namespace that is "
        "enforced only Ringfence writes NetworkPolicies, because they add up; say what shall be open in a "
        "SecurityPolicy (kubectl explain securitypolicy.spec)"
    )
    return Answer(False, message, controls=(STRANGERS,))
