"""What the network must let proxies call by themselves: the hosts that serve the keys of issuers of tokens.

No rule of anybody's: programs are not let through, so ``decide`` knows nothing of it. A network cannot tell a program's
packets from its proxy's; so it opens nothing where a pod has no proxy that stands before its program (ADR 0231).
"""

from collections.abc import Iterable, Mapping
from typing import Final

from ringfence.model.effective import AddressPeers, Direction, EffectiveRule, EffectiveTraffic, RuleRef
from ringfence.model.labels import LabelBox
from ringfence.model.net import PortRange, PortSet
from ringfence.model.resources import Action, Mode, Protocol
from ringfence.model.tokens import Issuer, served_at
from ringfence.model.world import Installation
from ringfence.policy import issuers, peers
from ringfence.policy.builtins import BUILTIN
from ringfence.policy.held import Holding
from ringfence.policy.order import box_key

#: Stands for all of them; there is no rule that could be named.
REF: Final = RuleRef(BUILTIN, "", "fetch", "keys")


def of(
    rules: Iterable[EffectiveRule],
    traffic: Iterable[EffectiveTraffic],
    by_key: Mapping[str, Issuer],
    installation: Installation,
    holding: Holding,
) -> tuple[EffectiveRule, ...]:
    """As egress Allows: for the pods of each rule and limit that asks for a token, in mode Audit too, the port at which
    its issuer's keys are, at all addresses to which a name may lead. Sorted."""
    fetched = {key: issuer for key, issuer in by_key.items() if issuer.fetched}
    if not fetched:
        return ()
    known = tuple(rules)
    asked = {
        (box, served_at(fetched[key].jwks_uri)[1])
        for box, key in issuers.asking(known, traffic)
        if key in fetched and not box.empty and not holding.without_proxy(box)
    }
    ordered = sorted(asked, key=lambda each: (each[1], box_key(each[0])))
    denies = denying(known)
    made = (_rule(box, port, denies, installation) for box, port in ordered)
    return tuple(rule for rule in made if rule.peers)


def denying(rules: Iterable[EffectiveRule]) -> tuple[EffectiveRule, ...]:
    """The rules that take addresses from where proxies may call."""
    return tuple(
        rule
        for rule in rules
        if rule.direction is Direction.EGRESS and rule.action is Action.DENY and rule.mode is Mode.ENFORCE
    )


def _rule(box: LabelBox, port: int, denies: Iterable[EffectiveRule], installation: Installation) -> EffectiveRule:
    # What is denied to some of these pods is closed for all: their proxies get along without those addresses.
    about = (deny for deny in denies if not (deny.subject & box).empty)
    found = peers.outside_on(port, about, installation)
    return EffectiveRule(
        ref=REF,
        direction=Direction.EGRESS,
        action=Action.ALLOW,
        mode=Mode.ENFORCE,
        subject=box,
        peers=() if found.empty else (AddressPeers(found),),
        ports=PortSet(ranges=(PortRange(Protocol.TCP, port, port),)),
        builtin=True,
    )
