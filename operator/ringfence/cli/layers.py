"""An answer layer by layer (network, transport, connection, request), and what is missing for the other answer."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ringfence.cli import words
from ringfence.cli.question import Answer, Question, Row
from ringfence.cli.world import Loaded
from ringfence.model.effective import Direction
from ringfence.model.errors import CannotTell
from ringfence.model.names import LABEL_IDENTITY
from ringfence.model.requests import Opaque
from ringfence.model.resources import MTLS
from ringfence.model.verdict import Half, Reason, Verdict
from ringfence.model.world import Workload
from ringfence.policy.algebra.diagram import Split
from ringfence.policy.reasoning.otherwise import Otherwise
from ringfence.policy.transport import transport_of, wished_by


@dataclass(frozen=True, slots=True)
class Layer:
    """What one layer says of a call: ``allowed`` None where it cannot tell; ``partly``: of some requests only."""

    name: str
    allowed: bool | None
    because: str
    partly: bool = False

    def data(self) -> dict[str, Any]:
        """The same for programs."""
        passes = None if self.allowed is None else "some" if self.partly else "every" if self.allowed else "none"
        return {"layer": self.name, "allowed": self.allowed, "passes": passes, "because": self.because}


def layers(question: Question, answer: Answer, row: Row, loaded: Loaded) -> tuple[Layer, ...]:
    """The layers of an answer about one port; none where the port is not known."""
    if row.port is None or row.protocol is None or answer.verdict is None:
        return ()
    return _Layers(question, answer, row, loaded).all()


def deciding(verdict: Verdict) -> Half:
    """The half to name in a line: the one that denies; where both allow, one with a rule, the target's first."""
    if not verdict.allowed:
        return verdict.deciding
    telling = {Reason.NOT_ENROLLED, Reason.NOT_CLOSED}
    return max(verdict.ingress, verdict.egress, key=lambda each: (each.rule is not None, each.reason in telling))


@dataclass(frozen=True, slots=True)
class _Layers:
    question: Question
    answer: Answer
    row: Row
    loaded: Loaded

    def all(self) -> tuple[Layer, ...]:
        """From the outside in: the network's policies, the handshake, the target's proxy before and at each request."""
        network = self._connected("network", plaintext=False)
        connection = self._connected("connection", plaintext=self.question.plaintext)
        return (network, self._transport(), connection, self._request())

    def _connected(self, name: str, *, plaintext: bool) -> Layer:
        """What is said of the connection, whatever is sent on it."""
        try:
            verdict = self.question.connected(self.answer, self.row, plaintext=plaintext)
        except CannotTell as error:
            return Layer(name, None, str(error))
        if name == "connection" and not self._proxied():
            return Layer(name, verdict.allowed, "no proxy stands before the target: the network alone judges")
        return Layer(name, verdict.allowed, self._because(verdict))

    def _because(self, verdict: Verdict) -> str:
        half = deciding(verdict)
        member = self.answer.source if half.direction is Direction.EGRESS else self.answer.target
        return f"{half.direction}: {words.because(half, self.question.located(member), self.loaded)}"

    def _proxied(self) -> bool:
        target = self.question.located(self.answer.target)
        if not isinstance(target, Workload) or target.host_network:
            return False
        return target.proxied or self.question.world.installation.proxies

    def _transport(self) -> Layer:
        target = self.question.located(self.answer.target)
        assert self.answer.verdict is not None  # noqa: S101 (seen in `layers`)
        refused = self.answer.verdict.ingress.reason is Reason.NEEDS_MUTUAL_TLS
        if not isinstance(target, Workload) or not (refused or self._proxied()):
            return Layer("transport", True, "as the program makes it: no proxy stands before the target")
        policy = self.question.effective(target.namespace)
        mtls = transport_of(policy, target.labels)
        said = f"{mtls} ({self._wished(target, mtls)})"
        if mtls is not MTLS.STRICT:
            what = "plaintext" if mtls is MTLS.DISABLED else "mutual TLS where the caller has it, plaintext too"
            return Layer("transport", True, f"{said}: {what}")
        if not self.question.plaintext and self._identified():
            return Layer("transport", True, f"{said}: mutual TLS, in which the caller shows its identity")
        text = f"{said}: the caller shows no identity, so only rules that ask for none can let it in"
        # A call that shows no identity fails here where one that shows it would not.
        return Layer("transport", not refused, text)

    def _identified(self) -> bool:
        source = self.question.located(self.answer.source)
        return isinstance(source, Workload) and not source.host_network and LABEL_IDENTITY in source.labels

    def _wished(self, target: Workload, mtls: MTLS) -> str:
        found = wished_by(self.question.world, target, mtls)
        if not found:
            closed = self.question.effective(target.namespace).closed
            return "no policy says otherwise" if closed else "its namespace is not closed"
        kind, namespace, name = found[0]
        where = words.place_of(found[0], "spec.transport", self.loaded)
        shown = f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"
        return f"{shown}, {where}" if where else shown

    def _request(self) -> Layer:
        verdict = self.answer.verdict
        assert verdict is not None and self.row.port is not None and self.row.protocol is not None  # noqa: S101, PT018
        because = self._because(verdict)
        if self._proxied() and isinstance(self.question.sent(self.answer, self.row), Opaque):
            because += "; the port carries bytes, in which nobody sees a request"
        return Layer("request", verdict.allowed, because, isinstance(self.answer.passing, Split))


def without(question: Question, half: Half, answer: Answer, row: Row) -> tuple[str, Otherwise] | None:
    """What would hold without the rule that decides a half, as a sentence and as it is; None where none does."""
    found = question.without(half, answer, row)
    if found is None:
        return None
    return " ".join(_without(half, found)), found


def _without(half: Half, other: Otherwise) -> Iterator[str]:
    yield "without it"
    rule = other.half.rule
    if half.allowed:
        if not other.half.allowed:
            yield "the call would be denied" + (f" by {rule}" if rule is not None else "")
            return
        yield f"{rule or 'the default'} would allow it" + ("" if other.as_much else " in part")
    elif not other.half.allowed:
        yield (
            f"{rule} would {'deny it too' if other.half.reason is Reason.DENIED_BY_RULE else 'be held back'}"
            if (rule is not None)
            else "no rule would allow it either"
        )
    else:
        yield f"{rule or 'the default'} would allow it"
        if not other.allowed:
            yield "here, but the other end would not"
