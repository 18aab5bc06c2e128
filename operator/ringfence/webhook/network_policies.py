"""NetworkPolicies of enforced namespaces: they add up, so one stranger's allow-all would undo everything.

The same holds for the kinds in which networks say it in their own words (model.foreign_policies): of those none is ever
Ringfence's, whatever its labels say. Deletes are held by the policy ``ringfence-network-policies`` inside the API
server alone: who may delete Ringfence's is a question for RBAC, and a namespace that is being deleted must not wait
for a webhook.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ringfence.controls.pod import Meta
from ringfence.model.names import LABEL_MANAGED_BY, MANAGED_BY
from ringfence.model.world import Enrolment
from ringfence.webhook.view import Missing, Rules, Unknown, View
from ringfence.webhook.wire import ALLOWED, Answer, BadReview, Request

STRANGERS: Final = "network-policies"
GROUP: Final = "networking.k8s.io"
INSTEAD: Final = "say what shall be open in a SecurityPolicy (kubectl explain securitypolicy.spec)"

#: What does not say what is open. Which other fields do is for each kind to know: all of them count.
_SILENT: Final = frozenset({"metadata", "status"})


class _Headed(msgspec.Struct, frozen=True):
    metadata: Meta = Meta()

    @property
    def own(self) -> bool:
        return (self.metadata.labels or {}).get(LABEL_MANAGED_BY) == MANAGED_BY


_headed: Final = msgspec.json.Decoder(_Headed)
_whole: Final = msgspec.json.Decoder(dict[str, Any])


def validate(request: Request, view: View, rules: Rules, now: float) -> Answer:
    """Refuse what is not Ringfence's; a stranger's from before enrolment may change in its metadata only."""
    del now
    if request.operation in {"DELETE", "CONNECT"}:
        return ALLOWED
    foreign = request.resource.group != GROUP
    if request.user_info.username == rules.controller and not foreign:
        return ALLOWED
    name = request.namespace or ""
    if not name:
        raise BadReview("request.namespace is missing")
    namespace = view.namespace(name)
    if namespace is None:
        raise Unknown(Missing("Namespace", "", name))
    if namespace.enrolment is not Enrolment.ENFORCE:
        return ALLOWED
    new = _headed.decode(request.object)
    theirs = request.has_old_object and (foreign or not (new.own or _headed.decode(request.old_object).own))
    if theirs and _said(request.object) == _said(request.old_object):
        return ALLOWED
    shown = f"{name}/{request.name or new.metadata.shown_name}"
    return Answer(False, _refusal(request, shown, foreign=foreign), controls=(STRANGERS,))


def _said(encoded: msgspec.Raw) -> Mapping[str, Any]:
    return {key: value for key, value in _whole.decode(encoded).items() if key not in _SILENT}


def _refusal(request: Request, shown: str, *, foreign: bool) -> str:
    if not foreign:
        return (
            f"Ringfence refuses NetworkPolicy {shown}: in a namespace that is enforced only Ringfence writes "
            f"NetworkPolicies, because they add up; {INSTEAD}"
        )
    return (
        f"Ringfence refuses {request.kind.kind}.{request.resource.group} {shown}: in a namespace that is enforced only "
        f"Ringfence says what is open, and what this kind opens no NetworkPolicy closes; {INSTEAD}"
    )
