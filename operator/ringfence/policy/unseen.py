"""Rules about requests on ports that carry bytes, in which nobody sees any: an Allow allows nothing, a Deny all."""

from collections.abc import Iterable, Iterator
from typing import Final

from ringfence.model.effective import Direction, EffectivePolicy, EffectiveRule, Finding
from ringfence.model.mesh import ServiceValue
from ringfence.model.resources import Action, Protocol
from ringfence.model.world import Enrolment, Workload
from ringfence.policy.closing import listing
from ringfence.policy.held import NO_PROXY
from ringfence.policy.notes import Notes
from ringfence.policy.reasons import FindingReason
from ringfence.policy.speech import speaks_http

#: A rule that names more ports at once means whatever there is, not each of them.
_FEW: Final = 16


def findings(
    policy: EffectivePolicy, pods: Iterable[Workload], services: Iterable[ServiceValue]
) -> tuple[Finding, ...]:
    """The findings of a policy, with those about such rules; ``services`` are all those of its namespace."""
    notes, told = Notes(), tuple(services)
    notes.include(policy.findings)
    running = [pod for pod in pods if not (pod.finished or pod.host_network)]
    for rule in policy.rules if policy.enrolment is not Enrolment.NONE else ():
        if rule.requests is None or rule.direction is not Direction.INGRESS or rule.suspended_by == NO_PROXY:
            continue
        found = {number for pod in running if rule.subject.matches(pod.labels) for number in _unseen(rule, pod, told)}
        if found:
            does = "allows nothing" if rule.action is Action.ALLOW else "denies everything"
            ports = listing(tuple(str(each) for each in sorted(found)))
            notes.rule(
                rule.ref,
                FindingReason.REQUESTS_NOT_SEEN,
                f"{does} on {ports}: it is about requests, and no Service says "
                "that HTTP is spoken there; give the Service's port appProtocol: http, or a name that begins with http",
            )
    return notes.sorted()


def _unseen(rule: EffectiveRule, pod: Workload, services: tuple[ServiceValue, ...]) -> Iterator[int]:
    named = {each.port for each in pod.ports if each.protocol is Protocol.TCP}
    few = (span for span in rule.ports.ranges if span.last - span.first < _FEW)
    numbers = {number for span in few for number in range(span.first, span.last + 1)} | named
    for number in numbers:
        names = [each.name for each in pod.ports if (each.protocol, each.port) == (Protocol.TCP, number)]
        if rule.ports.contains(Protocol.TCP, number, names) and not speaks_http(pod, number, services):
            yield number
