"""Which issuers of tokens hold for pods, and where the tokens that rules ask for are.

The platform's hold in every namespace that its policy selects; those of a SecurityPolicy for its own rules.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ringfence.model import hosts
from ringfence.model.effective import EffectivePolicy, EffectiveRule, EffectiveTraffic
from ringfence.model.labels import LabelBox
from ringfence.model.resources import Action, ClusterSecurityPolicy, SecurityPolicy
from ringfence.model.tokens import Issuer, TokenMatch, cluster_key, name_of, own_key, served_at
from ringfence.model.traffic import By
from ringfence.policy.notes import Notes
from ringfence.policy.order import box_key
from ringfence.policy.reasons import FindingReason
from ringfence.policy.rules import Block, Policy, kind_of
from ringfence.policy.subjects import EVERY_POD

#: Pods, the key of an issuer, and the issuer whose tokens their proxies check.
Held = tuple[LabelBox, str, Issuer]
_DIGITS: Final = 8


@dataclass(frozen=True, slots=True)
class Issuers:
    """The issuers of a namespace by their keys."""

    by_key: Mapping[str, Issuer]
    held: tuple[Held, ...]

    @classmethod
    def of(cls, governed: Iterable[tuple[Policy, LabelBox]], jwks_hosts: Sequence[str], notes: Notes) -> "Issuers":
        """Those that the policies declare; one that the platform declares in two ways holds nowhere, and neither does
        one whose keys would be fetched from a host that is not among ``jwks_hosts`` (patterns of model.hosts)."""
        found: dict[str, tuple[LabelBox, Issuer]] = {}
        unclear = set()
        declared: dict[str, Policy] = {}
        for policy, subject in governed:
            for issuer in policy.spec.issuers:
                key, box = _place(policy, subject, issuer)
                if key in found and found[key][1] != issuer:
                    unclear.add(key)
                    _conflict(issuer.name, (declared[key], policy), notes)
                if not _may_be_fetched(issuer, jwks_hosts):
                    unclear.add(key)
                    _not_listed(issuer, policy, notes)
                found.setdefault(key, (box, issuer))
                declared.setdefault(key, policy)
        clear = {key: each for key, each in found.items() if key not in unclear}
        held = ((box, key, issuer) for key, (box, issuer) in clear.items() if not box.empty)
        return cls(
            {key: issuer for key, (_, issuer) in clear.items()},
            tuple(sorted(held, key=lambda each: (each[1], box_key(each[0])))),
        )

    def located(self, block: Block, notes: Notes) -> Block:
        """The block with the place of each token that its rules ask for."""
        if not any(rule.requests is not None and rule.requests.token is not None for rule in block.rules):
            return block
        return Block.of((self._located(rule, notes) for rule in block.rules), block.findings)

    def _located(self, rule: EffectiveRule, notes: Notes) -> EffectiveRule:
        asked = rule.requests
        if asked is None or asked.token is None:
            return rule
        issuer = self.by_key.get(asked.token.issuer)
        if issuer is None:
            means = "allows nothing" if rule.action is Action.ALLOW else "denies every request"
            name = name_of(asked.token.issuer)
            told = f"{means}: no policy that holds here declares the issuer {name}"
            notes.rule(rule.ref, FindingReason.UNKNOWN_ISSUER, told)
            return rule
        token: TokenMatch = replace(asked.token, header=issuer.header, version=version(issuer))
        return replace(rule, requests=replace(asked, token=token))


def asking(rules: Iterable[EffectiveRule], traffic: Iterable[EffectiveTraffic]) -> Iterator[tuple[LabelBox, str]]:
    """The pods whose proxies look at tokens, and the key of the issuer: for a rule or a limit, in mode Audit too."""
    for rule in rules:
        if rule.requests is not None and rule.requests.token is not None:
            yield rule.subject, rule.requests.token.issuer
    for entry in traffic:
        yield from ((entry.subject, limit.issuer) for limit in entry.asks.limits if limit.by is By.CLAIM)


def asked_of_pods(policy: EffectivePolicy, labels: Mapping[str, str]) -> dict[str, Issuer]:
    """The issuers of ``of_pods``, less those whose keys would be fetched although nobody looks at their tokens at the
    pods."""
    found = of_pods(policy.issuers, labels)
    if not any(each.fetched for each in found.values()):
        return found
    asked = {key for box, key in asking(policy.rules, policy.traffic) if box.matches(labels)}
    return {key: each for key, each in found.items() if key in asked or not each.fetched}


def of_pods(held: Iterable[Held], labels: Mapping[str, str]) -> dict[str, Issuer]:
    """The issuers, by key, that the proxies of pods with these labels know."""
    return {key: issuer for box, key, issuer in held if box.matches(labels)}


def _place(policy: Policy, subject: LabelBox, issuer: Issuer) -> tuple[str, LabelBox]:
    if isinstance(policy, SecurityPolicy):
        return own_key(policy.meta.namespace, policy.meta.name, issuer.name), subject
    return cluster_key(issuer.name), EVERY_POD


def _may_be_fetched(issuer: Issuer, jwks_hosts: Sequence[str]) -> bool:
    return not issuer.fetched or hosts.listed(jwks_hosts, served_at(issuer.jwks_uri)[0])


def _not_listed(issuer: Issuer, policy: Policy, notes: Notes) -> None:
    notes.add(
        (kind_of(policy).value, policy.meta.namespace, policy.meta.name),
        FindingReason.JWKS_HOST_NOT_LISTED,
        f"the keys of the issuer {issuer.name} are at {served_at(issuer.jwks_uri)[0]}, from where none are fetched"
        " here: no token of it counts; list the host in network.jwksHosts of the chart, or paste the keys as jwks",
    )


def _conflict(name: str, policies: Iterable[Policy], notes: Notes) -> None:
    told: Iterator[Policy] = iter(sorted(policies, key=lambda policy: policy.meta.name))
    one, other = told
    for policy, against in ((one, other), (other, one)):
        assert isinstance(policy, ClusterSecurityPolicy)  # noqa: S101 (the names in one policy differ)
        notes.add(
            (kind_of(policy).value, "", policy.meta.name),
            FindingReason.ISSUER_CONFLICT,
            f"{against.meta.name} declares the issuer {name} in another way: no token of it counts until they agree",
        )


def version(issuer: Issuer) -> str:
    """Changes with what makes a token of the issuer good."""
    return hashlib.sha256(repr(replace(issuer, name="", remove=False)).encode()).hexdigest()[:_DIGITS]
