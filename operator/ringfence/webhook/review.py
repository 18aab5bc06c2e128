"""One request in, one answer out: pure, so that every sentence of the rules can be tested without a server.

What this version does not know is refused, not skipped: a new pod subresource, a kind that the configuration asks
about by mistake, an object that is not what its kind says.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final, TypeGuard

import msgspec

from ringfence.model.foreign_policies import FOREIGN
from ringfence.model.names import GROUP
from ringfence.webhook import namespaces, network_policies, pods, resources, sessions, workloads
from ringfence.webhook.resources import Reading
from ringfence.webhook.view import Rules, View
from ringfence.webhook.wire import ALLOWED, Answer, AnyRequest, BadReview, PodRequest, Request


class Purpose(StrEnum):
    """Which of the webhooks asks; the value is its path."""

    MUTATE = "/mutate"
    VALIDATE = "/validate"
    WARN = "/warn"


Judge = Callable[[Request, View, Rules, float], Answer]

_VALIDATE: Final[Mapping[tuple[str, str], Judge]] = {
    ("", "namespaces"): namespaces.validate,
    (network_policies.GROUP, "networkpolicies"): network_policies.validate,
    **{(each.group, each.plural): network_policies.validate for each in FOREIGN},
}
_OWN: Final = frozenset({"clustersecuritypolicies", "securitypolicies", "serviceidentities"})
_MUTATE: Final[Mapping[tuple[str, str], Judge]] = {("", "namespaces"): namespaces.mutate}
_PODS: Final = frozenset({("", "pods"), ("", "bindings")})


def judge(
    purpose: Purpose, request: AnyRequest, view: View, rules: Rules, now: float, reading: Reading | None = None
) -> Answer:
    """Decide; ``now`` is in seconds since the epoch (UTC), ``reading`` what ``resources.read`` said if it was asked.

    Raises view.Unknown when something must be read first, and view.NoPolicy.
    """
    try:
        if purpose is Purpose.WARN:
            return ALLOWED if isinstance(request, PodRequest) else workloads.warn(request, view, rules, now)
        if purpose is Purpose.VALIDATE and is_own(request):
            return resources.validate(request, reading or resources.read(request), view, rules, now)
        return _decide(purpose, request, view, rules, now)
    except BadReview as error:
        return malformed(str(error))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        if purpose is Purpose.WARN:
            return ALLOWED
        return malformed(f"the object cannot be read: {str(error) or type(error).__name__}")


def is_own(request: AnyRequest) -> TypeGuard[Request]:
    """Whether it is about one of Ringfence's own kinds."""
    own = request.resource.group == GROUP and request.resource.resource in _OWN
    return own and isinstance(request, Request)


def _decide(purpose: Purpose, request: AnyRequest, view: View, rules: Rules, now: float) -> Answer:
    resource = request.resource.group, request.resource.resource
    if request.operation == "CONNECT" and resource == ("", "pods") and purpose is Purpose.VALIDATE:
        return sessions.validate(request, view, rules, now)
    if resource in _PODS:
        return (pods.mutate if purpose is Purpose.MUTATE else pods.validate)(request, view, rules, now)
    decide = (_MUTATE if purpose is Purpose.MUTATE else _VALIDATE).get(resource)
    if decide is None or isinstance(request, PodRequest):
        return _unexpected(request)
    return decide(request, view, rules, now)


def malformed(message: str) -> Answer:
    """The refusal of what cannot be understood."""
    return Answer(False, f"Ringfence: {message}", 400, "BadRequest", controls=("malformed",))


def _unexpected(request: AnyRequest) -> Answer:
    resource = request.resource
    name = f"{resource.resource}.{resource.group}" if resource.group else resource.resource
    message = f"Ringfence: this version does not judge {name}; the webhook configuration asks for too much"
    return Answer(False, message, 400, "BadRequest", controls=("unexpected",))
