"""Ringfence's own kinds, by the same parser that the controller uses: what is admitted here is understood there."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from ringfence import api
from ringfence.controls import expiry, registry
from ringfence.model import hosts
from ringfence.model.errors import FieldError, InvalidResource
from ringfence.model.resources import Action, ClusterSecurityPolicy, SecurityPolicy, ServiceIdentity
from ringfence.model.tokens import served_at
from ringfence.policy import narrowing, never
from ringfence.policy.rules import NO_REQUEST
from ringfence.signatures import keys
from ringfence.webhook.view import Rules, View
from ringfence.webhook.wire import ALLOWED, Answer, Request

INVALID: Final = "invalid-resource"

Resource = dict[str, Any]
_decoder: Final = msgspec.json.Decoder(Resource)


#: What reading the object of a request came to; None where there is nothing to judge.
Reading = api.Parsed | InvalidResource | None


def read(request: Request) -> Reading:
    """Read the resource, which can take a tenth of a second: a server does it beside its event loop.

    A change that leaves the spec alone is nothing to judge, even if the spec would be refused by now.
    Raises msgspec.MsgspecError for what is no JSON object.
    """
    if not request.has_object or request.sub_resource:
        return None
    obj = _decoder.decode(request.object)
    if request.has_old_object and _decoder.decode(request.old_object).get("spec") == obj.get("spec"):
        return None
    try:
        return api.parse(obj, default_namespace=request.namespace or "")
    except InvalidResource as error:
        return error


def validate(request: Request, reading: Reading, view: View, rules: Rules, now: float) -> Answer:
    """Refuse what the parser refuses, with every error, and what a resource on its own cannot show."""
    if reading is None:
        return ALLOWED
    if isinstance(reading, InvalidResource):
        return _refused(reading)
    parsed = reading
    if errors := tuple(_beyond(parsed, view, rules)):
        return _refused(InvalidResource(request.kind.kind, parsed.meta.name, errors))
    warnings = tuple(_ended(parsed, now)) if isinstance(parsed, ClusterSecurityPolicy) else ()
    if not isinstance(parsed, ServiceIdentity):
        warnings += tuple(_never_matching(parsed))
        warnings += tuple(_not_judged(parsed)) if rules.proxy is None else ()
    return Answer(True, warnings=warnings) if warnings else ALLOWED


def _beyond(parsed: api.Parsed, view: View, rules: Rules) -> Iterator[FieldError]:
    """What a resource on its own cannot show."""
    if isinstance(parsed, ServiceIdentity):
        for other in view.identities(parsed.meta.namespace):
            if other.service_account == parsed.service_account and other.meta.name != parsed.meta.name:
                yield FieldError(
                    "spec.serviceAccountName",
                    f"{parsed.service_account} has an identity already: ServiceIdentity {other.meta.name}",
                    "name another ServiceAccount, or delete the other ServiceIdentity first",
                )
    if isinstance(parsed, SecurityPolicy | ClusterSecurityPolicy):
        yield from _keys(parsed)
        yield from _not_fetched(parsed, rules.jwks_hosts)
    if isinstance(parsed, ClusterSecurityPolicy):
        for index, exception in enumerate(parsed.exceptions):
            for unknown in sorted(set(exception.controls) - registry.IDS):
                yield FieldError(
                    f"spec.exceptions[{index}].controls",
                    f"{unknown} is no control",
                    f"one of {', '.join(sorted(registry.IDS))}",
                )


def _keys(policy: SecurityPolicy | ClusterSecurityPolicy) -> Iterator[FieldError]:
    """Keys that have the form of a key and are none that a signature can be checked with."""
    for rule in policy.spec.admission.signatures:
        for pem in rule.keys:
            try:
                keys.load(pem)
            except keys.BadKey as error:
                yield FieldError(f"spec.admission.images.signatures[name={rule.name}].keys", f"one {error}")


def _not_fetched(policy: SecurityPolicy | ClusterSecurityPolicy, listed: tuple[str, ...]) -> Iterator[FieldError]:
    """Keys at hosts that the platform does not list."""
    for issuer in policy.spec.issuers:
        host, _ = served_at(issuer.jwks_uri)
        if issuer.fetched and not hosts.listed(listed, host):
            yield FieldError(
                f"spec.jwtIssuers[name={issuer.name}].jwksUri",
                f"keys are not fetched from {host}",
                f"have the platform list it in network.jwksHosts of the chart ({', '.join(listed) or 'now empty'}), or"
                " paste the keys as jwks",
            )


def _ended(policy: ClusterSecurityPolicy, now: float) -> Iterator[str]:
    for exception in policy.exceptions:
        if not expiry.in_force(exception, now):
            yield f"Ringfence: exception {exception.name} ended at {exception.until} and frees nobody"


def _never_matching(policy: SecurityPolicy | ClusterSecurityPolicy) -> Iterator[str]:
    """Rules that name nobody or nothing, whatever else there is."""
    for rule in policy.spec.ingress or ():
        if rule.requests is not None and never.named(rule.requests, rule.action):
            yield f"Ringfence: rule {rule.name} {NO_REQUEST}"
        if narrowing.contradictory(rule):
            yield f"Ringfence: rule {rule.name} matches nobody: its conditions on the source contradict it"


def _not_judged(policy: SecurityPolicy | ClusterSecurityPolicy) -> Iterator[str]:
    """Rules about requests where pods get no proxies; what else keeps one from being judged its status says."""
    for rule in policy.spec.ingress or ():
        if rule.requests is not None:
            means = "allows nothing" if rule.action is Action.ALLOW else "denies every request"
            yield f"Ringfence: rule {rule.name} is about requests, which no proxy judges here: it {means}"


def _refused(error: InvalidResource) -> Answer:
    head = f"Ringfence refuses {error.kind} {error.name}"
    message = f"{head}: {error.errors[0]}"
    if len(error.errors) > 1:
        message = "\n".join((f"{head} for {len(error.errors)} reasons:", *(f"- {each}" for each in error.errors)))
    return Answer(False, message, 422, "Invalid", controls=(INVALID,))
