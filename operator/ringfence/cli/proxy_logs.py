"""What the proxies' access logs say: who came in plaintext, who was denied, whom policies in mode Audit would deny.

A log reaches back as far as it goes, not as far as one would like: what is told holds for the time that it covers.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ringfence.cli import ca_words
from ringfence.model.spiffe import SpiffeId
from ringfence.translate.envoy import names

_DENIED: Final = re.compile(r"rbac_access_denied_matched_policy\[(.*)\]")
#: Of an address with its port, as Envoy writes it.
_ADDRESS: Final = re.compile(r"\[?([0-9a-fA-F.:]+?)\]?:([0-9]{1,5})")
#: What stands for a rule where none decided.
NO_RULE: Final = ""
HANDSHAKE: Final = "TLS handshake"


@dataclass(frozen=True, slots=True)
class Log:
    """A proxy's log: ``lines`` with their moments (epoch seconds), ``since`` how far it reaches back, None for nothing.

    ``cut`` says that older lines were left out because there were too many.
    """

    lines: tuple[tuple[float, Mapping[str, Any]], ...]
    since: float | None
    cut: bool = False


def read(text: str, most: int, started: float | None = None) -> Log:
    """The log as the API server answers it, each line led by its moment; ``most`` lines were asked for.

    ``started`` is when the proxy started: an empty log tells that nothing has happened since. One that is not empty
    may have been rotated, so it tells of the time from its first line only.
    """
    found: list[tuple[float, Mapping[str, Any]]] = []
    since: float | None = None
    count = 0
    for line in text.splitlines():
        moment, entry = stamped(line)
        if moment is None:
            continue
        count += 1
        since = moment if since is None else min(since, moment)
        if entry is not None:
            found.append((moment, entry))
    return Log(tuple(found), started if since is None else since, count >= most)


def stamped(line: str) -> tuple[float | None, Mapping[str, Any] | None]:
    """The moment that leads a line, and what an access log says there; None for what is neither."""
    stamp, _, rest = line.partition(" ")
    moment = ca_words.seconds_of(_micro(stamp))
    entry = _entry(rest) if moment is not None and rest.startswith("{") else None
    return moment, entry if isinstance(entry, dict) else None


def _entry(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _micro(stamp: str) -> str:
    """RFC 3339 with nine digits of a second, as the kubelet writes it, cut to six."""
    return re.sub(r"(\.[0-9]{6})[0-9]+", r"\1", stamp)


@dataclass(frozen=True, slots=True)
class Fact:
    """What a line says. ``source`` has the port of the caller too; ``rule`` and ``audit_rule`` as policy ids."""

    inbound: bool
    plaintext: bool
    source: str
    address: str
    peer: str
    to: str
    port: int
    denied: bool
    rule: str
    audit_denied: bool
    audit_rule: str


def fact(line: Mapping[str, Any]) -> Fact | None:
    """None for a line that speaks of no connection of a pod."""
    source, to = (_ADDRESS.fullmatch(str(line.get(key, ""))) for key in ("source", "destination"))
    if source is None or to is None or line.get("direction") not in {names.INBOUND, names.OUTBOUND}:
        return None
    inbound = line["direction"] == names.INBOUND
    policy = line["policy"] if isinstance(line.get("policy"), dict) else {}
    refusal = _DENIED.fullmatch(str(line.get("details", "")))
    handshake = inbound and bool(line.get("failure"))
    denied = line.get("answer") == "denied" or refusal is not None or handshake
    rule = str(line.get("rule") or policy.get("allow.enforced_effective_policy_id") or NO_RULE)
    if handshake:
        rule = HANDSHAKE
    elif refusal is not None:
        rule = NO_RULE if refusal[1] == "none" else refusal[1]
    would, audit_rule = _audit(line, policy)
    return Fact(
        inbound=inbound,
        plaintext=inbound and not (line.get("tls") or line.get("peer") or handshake),
        source=str(line["source"]),
        address=source[1],
        peer=str(line.get("peer") or ""),
        to=to[1],
        port=int(to[2]),
        denied=denied,
        rule=rule,
        audit_denied=would and not denied,
        audit_rule=audit_rule,
    )


def _audit(line: Mapping[str, Any], policy: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether it would be denied were all policies enforced, and by which rule."""
    if line.get("audit") == "denied":
        return True, str(line.get("auditRule") or NO_RULE)
    if policy.get("audit_deny.shadow_engine_result") == "denied":
        return True, str(policy.get("audit_deny.shadow_effective_policy_id") or NO_RULE)
    return policy.get("audit_allow.shadow_engine_result") == "denied", NO_RULE


@dataclass(slots=True)
class Count:
    """Connections that are alike: how many, the last moment, and at whose proxies."""

    sources: set[tuple[str, str]] = field(default_factory=set)
    last: float = 0.0

    def add(self, pod: str, source: str, moment: float) -> None:
        """One line; a connection that is written down again counts once."""
        self.sources.add((pod, source))
        self.last = max(self.last, moment)


#: Who, port, rule; for denials also the direction.
Key = tuple[str, str, int, str]


@dataclass(slots=True)
class Tally:
    """What all proxies of a workload have seen since a moment."""

    since: float
    who: Callable[[str], str]
    plaintext: dict[Key, Count] = field(default_factory=dict)
    denied: dict[Key, Count] = field(default_factory=dict)
    audit: dict[Key, Count] = field(default_factory=dict)

    def add(self, pod: str, log: Log) -> None:
        """The log of one proxy."""
        for moment, line in log.lines:
            each = fact(line) if moment >= self.since else None
            if each is not None:
                self._count(pod, moment, each)

    def _count(self, pod: str, moment: float, each: Fact) -> None:
        direction = names.INBOUND if each.inbound else names.OUTBOUND
        other = _named(each.peer) or self.who(each.address if each.inbound else each.to)
        found = [
            (self.plaintext, each.rule, each.plaintext and not each.denied),
            (self.denied, each.rule, each.denied),
            (self.audit, each.audit_rule, each.audit_denied),
        ]
        for tally, rule, counts in found:
            if counts:
                key = (direction, other, each.port, rule)
                tally.setdefault(key, Count()).add(pod, each.source, moment)


def _named(peer: str) -> str:
    """``namespace/account`` of one of our own IDs, another as it is, "" for none."""
    if not peer:
        return ""
    try:
        account = SpiffeId.parse(peer).service_account()
    except ValueError:
        return peer
    return "/".join(account) if account else peer


def rows(tally: Mapping[Key, Count]) -> Iterator[dict[str, Any]]:
    """For programs: the most connections first."""
    for key, count in sorted(tally.items(), key=lambda item: (-len(item[1].sources), item[0])):
        direction, other, port, rule = key
        yield {
            "direction": direction,
            "peer": other,
            "port": port,
            "connections": len(count.sources),
            "last": ca_words.moment(count.last),
            "rule": rule,
        }


def reach_back(logs: Iterable[Log], asked: float, now: float) -> float:
    """From when on all of these logs tell everything (epoch seconds), at the earliest ``asked``."""
    return max([asked, *(now if log.since is None else log.since for log in logs)])
