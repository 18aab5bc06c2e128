"""`ringfence can-i`: may one end call another, and which rule says so. The same `decide` as everywhere."""

import argparse
from collections.abc import Iterable
from typing import Any, Final

from ringfence.cli import calls, crowds, inputs, layers, options, proxies, spoken, words
from ringfence.cli.calls import Member
from ringfence.cli.console import Cell, Console, Output, Style
from ringfence.cli.problems import Usage
from ringfence.cli.question import Answer, Question, Row
from ringfence.cli.world import Loaded
from ringfence.model.effective import Direction, EffectiveRule
from ringfence.model.net import FIRST_PORT, LAST_PORT
from ringfence.model.resources import Action, Protocol
from ringfence.model.verdict import Half
from ringfence.model.world import Workload
from ringfence.policy import explain
from ringfence.policy.algebra.diagram import Split
from ringfence.policy.decide import Effective
from ringfence.policy.reasoning import saying

ALLOWED: Final = 0
DENIED: Final = 1
CANNOT: Final = 2

_DESCRIPTION = f"""
Say whether FROM may call TO, and which rule of which policy says so, at both ends: a call needs the source's leave
(egress) and the target's (ingress). The ends are {calls.FORMS};
or {crowds.FORMS}, which stand for many: the answer is then who may and who may not.

With --port the answer is about that port of the target's pods; without, about every port that a rule or a container
names. What is not said of the request (--method, --path, --header, --time, --claim) may be anything: the answer says
which requests may be sent. With a method and a path it is about one request. Ports speak HTTP where a Service says so.
"""
_EXAMPLES = """
  {prog} can-i -f examples/shop shop/frontend shop/checkout --port 8080
  {prog} can-i -f examples/shop shop/checkout shop-data/payments         # every port, in a table
  {prog} can-i shop/checkout shop-data/payments --port http              # the cluster, a port by its name
  {prog} can-i -f examples/shop shop/checkout shop-data/payments --port 8443 --method POST --path /charges
  {prog} can-i shop/report shop/ledger --port 8080 --path '/entries?kind=open' --time 2026-11-26T10:00Z
  {prog} can-i -f examples/shop shop/checkout shop-data/payments --path /charges   # by which methods?
  {prog} can-i -f examples/shop anyone shop-data/ledger                    # who may?
  {prog} can-i shop/checkout shop-data/payments --port 8443 --issuer corp --claim scope=payments.write
  {prog} can-i -f examples/shop zone:front shop-data/ledger --port 5432
  {prog} can-i -f examples/shop shop-data/payments ip:203.0.113.7 --port 443
  {prog} can-i -f examples/shop checkout payments --port 8443    # a bare name: the only identity that has it
  {prog} can-i -n shop frontend apiserver --port 6443 -o json

exit status: 0 something that was asked about is allowed (some port, some request), 1 all of it is denied, 2 cannot tell
(an unknown end, those that an end stands for differ, input that cannot be used)
"""
_ANSWERS: Final = {
    True: Cell("allowed", Style.GOOD),
    False: Cell("denied", Style.BAD),
    None: Cell("cannot tell", Style.CAUTION),
}


_SOME: Final = Cell("in part", Style.CAUTION)
#: Sets of requests of a port that are shown.
MANY: Final = 12


def add(subparsers: options.Subparsers) -> None:
    """Define the command."""
    parser = options.command(
        subparsers, "can-i", "say whether one end may call another, and why", _DESCRIPTION, _EXAMPLES
    )
    parser.add_argument("source", metavar="FROM", help="who calls")
    parser.add_argument("target", metavar="TO", help="who is called")
    parser.add_argument("--port", type=_port, help="number, or name of a container's port")
    protocols = [str(each) for each in Protocol]
    parser.add_argument("--protocol", type=str.upper, choices=protocols, help="default: TCP; without --port, all")
    parser.add_argument(
        "--plaintext", action="store_true", help="the call is made without mutual TLS, past the source's proxy"
    )
    spoken.add(parser)
    options.files(parser, "policies, identities, namespaces, workloads and Services; without it, those of the cluster")
    options.cluster(parser)
    options.output(parser)
    parser.set_defaults(run=run, services=True)


def _port(text: str) -> int | str:
    digits = text.removeprefix("-")
    if digits.isascii() and digits.isdigit():
        number = int(text[:8])
        if not FIRST_PORT <= number <= LAST_PORT:
            raise argparse.ArgumentTypeError(f"{text} is no port: {FIRST_PORT} to {LAST_PORT}")
        return number
    if not text:
        raise argparse.ArgumentTypeError("it is empty: give a number or a name")
    return text


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Load, ask and answer."""
    for text in (arguments.source, arguments.target):
        if not crowds.is_set(text):
            calls.check(text)
    if arguments.source.startswith("host:"):
        raise Usage(f"{arguments.source} is no caller: names of hosts can only be called")
    spoken.request(arguments)
    loaded, _ = inputs.load(arguments, console)
    return answer(arguments, loaded, inputs.effective(loaded.world), console)


def answer(arguments: argparse.Namespace, loaded: Loaded, effective: Effective, console: Console) -> int:
    """Ask about what is loaded, and answer."""
    ends = (arguments.source, arguments.target)
    many = [text for text in ends if crowds.is_set(text)]
    request, told = spoken.request(arguments), spoken.told(arguments)
    services = proxies.services(loaded, arguments.namespace)
    if many:
        inputs.must_be_readable(loaded, loaded.world.namespaces)
        return crowds.Crowds(loaded, effective, services).run(arguments, console)
    source, target = (calls.read(text, loaded.world, options.of_bare(arguments)) for text in ends)
    members = [each.end for asked in (source, target) for each in asked.members]
    inputs.must_be_readable(loaded, {end.namespace for end in members if isinstance(end, Workload)})
    for asked in (source, target):
        if asked.remark:
            console.note(asked.remark)
    question = Question(loaded.world, effective, source, target, arguments.plaintext, request, services, told)
    teller = _Teller(question, loaded, console)
    protocol = Protocol(arguments.protocol) if arguments.protocol else Protocol.TCP if request is not None else None
    if arguments.port is not None:
        return teller.one(question.ask(protocol or Protocol.TCP, arguments.port))
    for name in question.unknown_names():
        console.note(f"rules name a port {name!r}, which no container of {target.text} has: it is not shown")
    return teller.table(question.every(protocol))


class _Teller:
    """Writes answers for people and for programs."""

    def __init__(self, question: Question, loaded: Loaded, console: Console) -> None:
        self._question = question
        self._loaded = loaded
        self._console = console

    def one(self, row: Row) -> int:
        """The answer about one port, with both halves."""
        if self._console.output is not Output.TEXT:
            self._data([row], row.allowed)
        elif len(row.answers) == 1:
            self._line(row)
            self._passing([row], indent="  ")
            self._halves(row, row.answers[0])
        else:
            self._line(row)
            self._members(row)
        if row.allowed is None:
            reason = row.answers[0].unknown if len(row.answers) == 1 else "the members differ"
            self._console.error(f"cannot tell: {reason}")
            self._hint([row])
            return CANNOT
        return ALLOWED if row.allowed else DENIED

    def table(self, rows: list[Row]) -> int:
        """A line for each range of ports."""
        told = [row.allowed for row in rows]
        overall = True if any(told) else None if None in told else False
        if self._console.output is not Output.TEXT:
            self._data(rows, overall)
        else:
            source, target = self._question.source.text, self._question.target.text
            self._console.print(Cell(f"{source} -> {target}", Style.STRONG))
            lines = [(row.shown, _answer(row), self._because(row)) for row in rows]
            self._console.table(("PORT", "ANSWER", "BECAUSE"), lines)
            self._passing(rows)
        if overall is None:
            self._console.error("cannot tell for every port: the members differ, or something is not known")
            self._hint(rows)
        return {True: ALLOWED, False: DENIED, None: CANNOT}[overall]

    def _hint(self, rows: Iterable[Row]) -> None:
        """What to add to the question where only a pod's address is missing."""
        answers = [answer for row in rows for answer in row.answers]
        unknown = any(answer.verdict is None and "address of a pod" in answer.unknown for answer in answers)
        if unknown and not self._loaded.world.installation.pod_cidrs:
            self._console.note("with the pods' ranges (--pod-cidr, or podCIDRs in --config) `cidr` would not mean pods")

    def _line(self, row: Row) -> None:
        source, target = self._question.source.text, self._question.target.text
        self._console.print(_ANSWERS[row.allowed], f": {source} -> {target} {row.shown}")

    def _passing(self, rows: list[Row], *, indent: str = "") -> None:
        """Which requests may be sent, of the ports on which not all may that were asked about."""
        partly = [row for row in rows if isinstance(row.passing, Split)]
        for row in partly:
            texts = self._question.sentences(row.answers[0], row)
            where = f" on {row.shown}" if len(rows) > 1 else ""
            for text in texts[:MANY]:
                self._console.print(f"{indent}yes{where} for {text}")
            if len(texts) > MANY:
                self._console.print(f"{indent}yes{where} for {len(texts) - MANY} more sets of requests (-o json)")
        if partly:
            self._console.print(f"{indent}no otherwise")

    def _halves(self, row: Row, answer: Answer) -> None:
        for half, member in _sides(answer):
            self._console.print(
                f"  {half.direction} of {member.shown}: ", _ANSWERS[half.allowed], f", {self._why(half, member)}"
            )
            for text in self._question.hints(half, answer, row):
                self._console.print(f"    {text}")
            if (other := layers.without(self._question, half, answer, row)) is not None:
                self._console.print(f"    {other[0]}")
        for rule in self._question.conditional(answer, row):
            verb = "denies" if rule.action is Action.DENY else "allows"
            self._console.print(f"    {rule.ref} {verb} {_requests(rule)}")
        found = layers.layers(self._question, answer, row, self._loaded)
        lines = [(each.name, _layer(each), each.because) for each in found]
        if lines:
            self._console.table(("LAYER", "ANSWER", "BECAUSE"), lines, indent="  ")

    def _members(self, row: Row) -> None:
        """A line for all pairs that get the same answer for the same reason."""
        alike: dict[tuple[bool | None, str], list[Answer]] = {}
        for answer in row.answers:
            alike.setdefault((answer.allowed, self._deciding(answer)), []).append(answer)
        lines = [(_calls(answers), _ANSWERS[allowed], why) for (allowed, why), answers in alike.items()]
        self._console.table(("CALL", "ANSWER", "BECAUSE"), lines, indent="  ")

    def _because(self, row: Row) -> str:
        """Why, if all pairs say the same."""
        reasons = list(dict.fromkeys(self._deciding(answer) for answer in row.answers))
        if len(reasons) == 1:
            return reasons[0]
        if row.allowed is not None:
            return f"{reasons[0]}; and {len(reasons) - 1} more"
        first = next(answer for answer in row.answers if answer.allowed != row.answers[0].allowed)
        pair = f"{first.source.shown} -> {first.target.shown}"
        return f"{reasons[0]}; but {pair}: {self._deciding(first)}"

    def _deciding(self, answer: Answer) -> str:
        if answer.verdict is None:
            return answer.unknown
        half = layers.deciding(answer.verdict)
        member = answer.source if half.direction is Direction.EGRESS else answer.target
        return f"{half.direction}: {self._why(half, member)}"

    def _why(self, half: Half, member: Member) -> str:
        return words.because(half, self._question.located(member), self._loaded)

    def _data(self, rows: list[Row], overall: bool | None) -> None:
        self._console.data(
            {
                "from": self._question.source.text,
                "to": self._question.target.text,
                "allowed": overall,
                "ports": [self._row_data(row, len(rows) == len(row.answers) == 1) for row in rows],
            }
        )

    def _row_data(self, row: Row, alone: bool) -> dict[str, Any]:
        return {
            "ports": row.shown,
            "protocol": None if row.protocol is None else str(row.protocol),
            "port": row.port,
            "endPort": row.last,
            "allowed": row.allowed,
            "answers": [self._answer_data(answer, row, alone) for answer in row.answers],
        }

    def _missing_data(self, half: Half, answer: Answer, row: Row) -> dict[str, Any]:
        """What is missing for the other answer of one end."""
        other = layers.without(self._question, half, answer, row)
        near = (
            {
                "rule": words.rule_data(each.rule.ref, half.direction, self._loaded),
                "action": str(each.rule.action),
                "differs": list(each.differing),
                "but": text,
            }
            for each, text in self._question.near(half, answer, row)
        )
        return {
            "nearest": list(near),
            "without": None if other is None else {"allowed": other[1].half.allowed, "text": other[0]},
        }

    def _passing_data(self, answer: Answer, row: Row) -> dict[str, Any]:
        """How much of what was asked about is allowed; where it is some, which."""
        some = isinstance(answer.passing, Split)
        passes = None if answer.allowed is None else "some" if some else "every" if answer.allowed else "none"
        return {
            "passes": passes,
            "passing": saying.data(answer.passing) if some else [],
            "passingTexts": list(self._question.sentences(answer, row)),
        }

    def _answer_data(self, answer: Answer, row: Row, alone: bool) -> dict[str, Any]:
        """An answer for programs; where it stands ``alone``, with what is missing for the other one, layer by layer."""
        data: dict[str, Any] = {
            "from": answer.source.shown,
            "to": answer.target.shown,
            "allowed": answer.allowed,
            "cannotTell": answer.unknown,
            **self._passing_data(answer, row),
        }
        for half, member in _sides(answer):
            data[str(half.direction)] = {
                **words.half_data(half, self._question.located(member), self._loaded),
                **(self._missing_data(half, answer, row) if alone else {}),
            }
        if alone:
            found = layers.layers(self._question, answer, row, self._loaded)
            data["layers"] = [each.data() for each in found]
        data["requests"] = [
            {
                "action": str(rule.action),
                "requests": _requests(rule),
                "rule": words.rule_data(rule.ref, rule.direction, self._loaded),
            }
            for rule in self._question.conditional(answer, row)
        ]
        return data


def _answer(row: Row) -> Cell:
    return _SOME if isinstance(row.passing, Split) else _ANSWERS[row.allowed]


def _layer(layer: layers.Layer) -> Cell:
    return _SOME if layer.partly else _ANSWERS[layer.allowed]


def _requests(rule: EffectiveRule) -> str:
    return explain.requests_in_words(rule.requests) if rule.requests is not None else "every request"


def _calls(answers: list[Answer]) -> str:
    more = f" and {len(answers) - 1} more" if len(answers) > 1 else ""
    return f"{answers[0].source.shown} -> {answers[0].target.shown}{more}"


def _sides(answer: Answer) -> tuple[tuple[Half, Member], ...]:
    if answer.verdict is None:
        return ()
    return (answer.verdict.egress, answer.source), (answer.verdict.ingress, answer.target)
