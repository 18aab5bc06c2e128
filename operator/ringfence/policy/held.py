"""Which rules about requests and names of hosts a proxy holds, and what becomes of the others.

A network opens a port or does not. So an Allow of some requests may open it only where a proxy stands behind that
judges each of them, and a Deny of some requests may leave it open only there (ADR 0180). An Allow of some hosts may
open addresses only to pods whose own proxies look at names (ADR 0226).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from ringfence.model.effective import EffectiveRule, RuleRef
from ringfence.model.labels import LabelBox
from ringfence.model.resources import Action
from ringfence.model.world import Workload, World
from ringfence.policy.builtins import BUILTIN
from ringfence.policy.closing import listing
from ringfence.policy.notes import Notes
from ringfence.policy.reasons import FindingReason
from ringfence.policy.rules import Block

#: Holds back an Allow about requests where no proxy judges them.
NO_PROXY: Final = RuleRef(BUILTIN, "", "proxies", "missing")


@dataclass(frozen=True, slots=True)
class Holding:
    """Who judges requests in a namespace: whether pods get ``proxies``, and the pods ``without`` one."""

    proxies: bool
    without: tuple[Workload, ...]

    @classmethod
    def of(cls, world: World, namespace: str) -> "Holding":
        """How it is in a namespace now; pods in the network of their node are governed by nobody anyway."""
        pods = world.workloads.get(namespace, ())
        without = (pod for pod in pods if not (pod.proxied or pod.finished or pod.host_network))
        return cls(world.installation.proxies, tuple(without))

    def why_not(self, rule: EffectiveRule) -> str:
        """Why the requests of a rule cannot be judged; "" where they can."""
        return "" if rule.requests is None else self._unproxied(rule.subject)

    def why_no_hosts(self, rule: EffectiveRule) -> str:
        """Why nobody looks at the names of hosts that a rule allows; "" where somebody does."""
        return self._unproxied(rule.subject) if rule.hosts else ""

    def without_proxy(self, subject: LabelBox) -> bool:
        """Whether some pod of those has no proxy."""
        return bool(self._unproxied(subject))

    def _unproxied(self, subject: LabelBox) -> str:
        if not self.proxies:
            return "pods get no proxies here; set proxy.enabled in the chart"
        names = tuple(pod.name for pod in self.without if subject.matches(pod.labels))
        return f"pods that it governs have no proxy: {listing(names)}; restart them" if names else ""


def denying_all(blocks: Iterable[Block], holding: Holding) -> Iterator[Block]:
    """The blocks, with Denies of all requests in place of Denies of some that nobody could judge."""
    for block in blocks:
        loose = [r for r in block.rules if r.action is Action.DENY and holding.why_not(r)]
        if loose:
            made = (replace(r, requests=None) if r in loose else r for r in block.rules)
            yield Block.of(made, block.findings)
        else:
            yield block


def suspended(rules: Iterable[EffectiveRule], holding: Holding) -> Iterator[EffectiveRule]:
    """The rules, with Allows of some requests or hosts held back where nobody could judge them."""
    for rule in rules:
        hostless = bool(holding.why_no_hosts(rule))
        if rule.action is Action.ALLOW and (holding.why_not(rule) or (hostless and not rule.others)):
            yield replace(rule, suspended_by=NO_PROXY, suspended_in_audit=NO_PROXY)
        elif hostless:
            yield replace(rule, peers=rule.others)
        else:
            yield rule


def note(blocks: Iterable[Block], holding: Holding, notes: Notes) -> None:
    """Say of each rule about requests that nobody judges what that means; ``blocks`` are as they were written."""
    for rule in (rule for block in blocks for rule in block.rules):
        why = holding.why_not(rule)
        if why:
            means = "allows nothing" if rule.action is Action.ALLOW else "denies every request"
            notes.rule(rule.ref, FindingReason.REQUESTS_NOT_JUDGED, f"{means}: it is about requests, and {why}")
        why = holding.why_no_hosts(rule)
        if why:
            notes.rule(
                rule.ref, FindingReason.HOSTS_NOT_JUDGED, f"opens no host: names are looked at by proxies, and {why}"
            )
