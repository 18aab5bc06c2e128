"""What is open between two ends, so that it can be united, intersected and taken out of something else."""

from dataclasses import dataclass

from ringfence.model.net import FIRST_PORT, LAST_PORT, NamedPort
from ringfence.model.resources import Protocol
from ringfence.model.spans import Spans
from ringfence.policy.proof.ports import EVERY, NO_PORT, PROTOCOLS, Names
from ringfence.policy.proof.reaching import Found


@dataclass(frozen=True, slots=True)
class Open:
    """Ports, names of ports whose numbers are not known, whether that is certain, and of how many pairs it is said."""

    ports: Spans = NO_PORT
    names: frozenset[NamedPort] = frozenset()
    surely: bool = True
    count: int = 1

    @property
    def empty(self) -> bool:
        return self.ports.empty and not self.names

    def add(self, found: Found, names: Names) -> "Open":
        """With one more way in; ``names`` are those of ports whose numbers are not known."""
        surely = self.surely and found.surely
        if not names:
            return Open(self.ports | found.ports, self.names, surely)
        new = not (found.ports - self.ports).empty
        return Open(self.ports, self.names | names if new else self.names, surely)

    def __or__(self, other: "Open") -> "Open":
        """Both, as of more pairs."""
        count = self.count + other.count
        return Open(self.ports | other.ports, self.names | other.names, self.surely and other.surely, count)

    def __and__(self, other: "Open") -> "Open":
        """What both have."""
        count = self.count + other.count
        return Open(self.ports & other.ports, self.names & other.names, self.surely and other.surely, count)

    def __sub__(self, other: "Open") -> "Open":
        """What the other does not have."""
        return Open(self.ports - other.ports, self.names - other.names, self.surely, self.count)

    def tokens(self) -> tuple[str, ...]:
        """As people write them: ``8080``, ``53/udp``, ``8000-8999``, ``http``, ``any port``."""
        return (*_numbers(self.ports), *sorted(map(_name, self.names)))


#: By (source, target).
Calls = dict[tuple[str, str], Open]


def _name(port: NamedPort) -> str:
    return port.name if port.protocol is Protocol.TCP else f"{port.name}/{port.protocol.lower()}"


def _numbers(ports: Spans) -> tuple[str, ...]:
    if ports == EVERY:
        return ("any port",)
    found = []
    for kind, first, last in ports.spans:
        protocol = PROTOCOLS[kind]
        suffix = "" if protocol is Protocol.TCP else f"/{protocol.lower()}"
        whole = (first, last) == (FIRST_PORT, LAST_PORT)
        numbers = str(first) if first == last else f"{first}-{last}"
        found.append(f"any {protocol}" if whole else f"{numbers}{suffix}")
    return tuple(found)
