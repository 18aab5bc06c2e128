"""Ask the judge from Python: what would these NetworkPolicies let through?

One process answers many requests, so that property tests can ask thousands of questions a second.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from e2e import judge
from e2e.goprogram.lines import Conversation

Labels = Mapping[str, str]
Manifest = Mapping[str, Any]
"""A Kubernetes object as a mapping, as JSON or YAML gives it."""


class Protocol(StrEnum):
    """Transport protocols that a NetworkPolicy can name."""

    TCP = "TCP"
    UDP = "UDP"
    SCTP = "SCTP"


@dataclass(frozen=True, slots=True)
class Port:
    """A container port. ``name`` is what a policy may call it; empty when it has none."""

    number: int
    protocol: Protocol = Protocol.TCP
    name: str = ""


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod as the network sees it. Pods in the host's network are their node: no policy selects them."""

    namespace: str
    name: str
    labels: Labels
    ip: str
    ports: tuple[Port, ...] = ()
    host_network: bool = False

    @property
    def key(self) -> str:
        """The pod as an end of Traffic: ``namespace/name``."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Traffic:
    """A question: may ``source`` reach ``port`` of ``destination``? Ends are ``namespace/name`` of a pod or an address.

    An address that belongs to a pod of the request means that pod. The port is the pod's own, not a Service's.
    """

    source: str
    destination: str
    port: int
    protocol: Protocol = Protocol.TCP


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the policies say at each end; traffic passes when both allow it."""

    ingress: bool
    egress: bool

    @property
    def allowed(self) -> bool:
        """Whether the traffic passes."""
        return self.ingress and self.egress


VERDICTS = tuple(Verdict(ingress=bool(bits & 1), egress=bool(bits & 2)) for bits in range(4))


@dataclass(frozen=True, slots=True)
class Probe:
    """What a step tries from every pod to every pod: all served ports, or one port (number or name) by one protocol."""

    port: int | str | None
    protocol: Protocol | None


@dataclass(frozen=True, slots=True)
class Action:
    """One change to the cluster: ``verb`` is cyclonus' (createPolicy, setPodLabels, ...), the rest what it needs."""

    verb: str
    namespace: str
    name: str
    labels: Labels
    policy: Manifest | None


@dataclass(frozen=True, slots=True)
class Step:
    """Changes, then a probe."""

    actions: tuple[Action, ...]
    probe: Probe


@dataclass(frozen=True, slots=True)
class Case:
    """A generated test case: what it is about, cyclonus' tags (sorted) and its steps."""

    description: str
    tags: tuple[str, ...]
    steps: tuple[Step, ...]


class Judge(Conversation):
    """The judge's process, for a ``with`` statement. Safe to share between threads; builds the program on first use."""

    def __init__(self) -> None:
        """Start nothing yet."""
        super().__init__(judge.build)

    def verdicts(
        self,
        namespaces: Mapping[str, Labels],
        pods: Iterable[Pod],
        policies: Iterable[Manifest],
        traffic: Sequence[Traffic],
        *,
        raw: bool = False,
    ) -> list[Verdict]:
        """Return the verdict on each element of ``traffic``, in order.

        ``policies`` are NetworkPolicy objects as an API server accepts them (defaults may be left out). ``raw`` asks
        for cyclonus' own reading, without our corrections. Raises JudgeError.
        """
        bits = self._ask(
            "verdict",
            namespaces={name: dict(labels) for name, labels in namespaces.items()},
            pods=[_pod(pod) for pod in pods],
            policies=list(policies),
            traffic=[{"s": one.source, "d": one.destination, "p": one.port, "t": one.protocol} for one in traffic],
            raw=raw,
        )
        return [VERDICTS[each] for each in bits]

    def cases(self, pod_ip: str, *, allow_dns: bool = False) -> list[Case]:
        """Return every generated case for namespaces x, y, z with pods a, b, c; ``pod_ip`` is the address of z/c."""
        return [_case(each) for each in self._ask("cases", podIP=pod_ip, allowDNS=allow_dns)]


def _pod(pod: Pod) -> dict[str, Any]:
    return {
        "namespace": pod.namespace,
        "name": pod.name,
        "labels": dict(pod.labels),
        "ip": pod.ip,
        "ports": [{"port": port.number, "protocol": port.protocol, "name": port.name} for port in pod.ports],
        "hostNetwork": pod.host_network,
    }


def _case(wire: Mapping[str, Any]) -> Case:
    steps = tuple(
        Step(actions=tuple(_action(each) for each in step["actions"]), probe=_probe(step["probe"]))
        for step in wire["steps"]
    )
    return Case(wire["description"], tuple(wire["tags"]), steps)


def _action(wire: Mapping[str, Any]) -> Action:
    return Action(
        wire["verb"], wire.get("namespace", ""), wire.get("name", ""), wire.get("labels") or {}, wire.get("policy")
    )


def _probe(wire: Mapping[str, Any]) -> Probe:
    if wire["allAvailable"]:
        return Probe(None, None)
    return Probe(wire["port"], Protocol(wire["protocol"]))
