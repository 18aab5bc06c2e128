"""A counterexample in words: the calls of it, and at both ends of each the rule that decides."""

from collections.abc import Iterator, Mapping

from ringfence.model.effective import Direction
from ringfence.model.errors import CannotTell
from ringfence.model.names import LABEL_IDENTITY
from ringfence.model.requests import Asked, Opaque
from ringfence.model.resources import Invariant, Promise
from ringfence.model.tokens import Claims, name_of
from ringfence.model.verdict import Half, Reason, Verdict
from ringfence.model.world import Workload, World
from ringfence.policy import decide, spelling
from ringfence.policy.decide import Effective
from ringfence.policy.ends import Address, End
from ringfence.policy.proof.prove import Outcome, Proof, Step

_WORDS = {
    Reason.NOT_ENROLLED: "the namespace is not enrolled",
    Reason.NOT_CLOSED: "the namespace is not closed",
    Reason.ALLOWED_INSIDE: "no policy lists what it may call",
    Reason.NO_RULE_ALLOWS: "no rule allows it",
}


def verdict(world: World, effective: Effective, step: Step) -> Verdict | None:
    """What ``decide`` says of a step; None when it cannot tell."""
    try:
        return decide.decide(world, effective, step.source, step.target, step.protocol, step.port, request=step.request)
    except CannotTell:
        return None


def end(shown: End) -> str:
    """An end of a step: its identity or address, and the labels that it must have beyond that."""
    if isinstance(shown, Address):
        return f"ip:{shown.ip}"
    others = sorted((key, value) for key, value in shown.labels.items() if key != LABEL_IDENTITY)
    labels = f" with {', '.join(f'{key}={value}' for key, value in others)}" if others else ""
    return f"{shown.namespace}/{shown.name}{labels}"


def call(step: Step) -> str:
    """A step in a line."""
    names = sorted({port.name for port in step.target.ports}) if isinstance(step.target, Workload) else []
    named = f" (named {', '.join(names)})" if names else ""
    return f"{end(step.source)} -> {end(step.target)} {step.protocol} {step.port}{named}{sent(step.request)}"


def sent(request: Asked) -> str:
    """What is sent, led by a colon; "" where it does not matter."""
    if request is None:
        return ""
    if isinstance(request, Opaque):
        return ": bytes that are no HTTP"
    headers = "".join(f", {name}: {' and '.join(values)}" for name, values in sorted(request.headers.items()))
    host = f" at host {request.host}" if request.host else ""
    upgrade = f", to become {request.upgrade}" if request.upgrade else ""
    when = f", at {spelling.moment(request.time)}" if request.time is not None else ""
    return f": {request.method} {request.path}{host}{headers}{upgrade}{_tokens(request.tokens)}{when}"


def _tokens(tokens: Mapping[str, Claims | None]) -> str:
    return "".join(f", with {_token(name_of(key), claims)}" for key, claims in sorted(tokens.items()))


def _token(issuer: str, claims: Claims | None) -> str:
    if claims is None:
        return f"a token of {issuer} that is not good"
    said = " and ".join(f"{name} {', '.join(values)}" for name, values in sorted(claims.items()))
    return f"a token of {issuer}" + (f" that has {said}" if said else "")


def reasons(found: Verdict | None) -> Iterator[tuple[Direction, str]]:
    """Why each end says what it says; nothing of an end that no policy governs."""
    for half in (found.egress, found.ingress) if found is not None else ():
        if half.reason is not Reason.NOT_GOVERNED:
            yield half.direction, because(half)


def because(half: Half) -> str:
    """Why one end says so: the rule, or what holds without one."""
    if half.reason in _WORDS or half.rule is None:
        return _WORDS.get(half.reason, str(half.reason))
    return f"{half.rule} {'allows' if half.allowed else 'denies'} it"


def headline(proof: Proof) -> str:
    """What became of an invariant, in a sentence without its end."""
    what = f"{section(proof.invariant)} {proof.invariant.name} of ClusterSecurityPolicy {proof.invariant.policy}"
    if proof.outcome is Outcome.PROVEN:
        return f"{what} holds"
    if proof.outcome is Outcome.VIOLATED:
        return f"{what} does not hold"
    return f"{what} cannot be proven: {proof.why}"


def section(invariant: Invariant) -> str:
    """The field that an invariant stands in."""
    return "neverAllow" if invariant.promise is Promise.NEVER else "alwaysAllow"


def lines(world: World, effective: Effective, proof: Proof) -> Iterator[str]:
    """The counterexample: a line for each call, and below it one for each end that has a say."""
    passes = proof.invariant.promise is Promise.NEVER
    for step in proof.steps:
        yield f"{'allowed' if passes else 'not allowed'}: {call(step)}"
        found = verdict(world, effective, step)
        if found is None:
            yield f"  {proof.why or 'it cannot be told'}"
        for direction, why in reasons(found):
            yield f"  {direction}: {why}"
