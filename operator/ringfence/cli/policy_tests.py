"""`ringfence test`: do the policies say what their authors expect of them? Judged by the evaluators of the cluster."""

import argparse
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import msgspec

from ringfence.cli import calls, inputs, junit, options, proxies, suite, world
from ringfence.cli.console import COMMON, Cell, Console, Output, Style
from ringfence.cli.documents import Document
from ringfence.cli.judging import judge, malformed
from ringfence.cli.problems import BadInput, Problem, Usage
from ringfence.cli.question import Question
from ringfence.cli.spoken import NoIssuer
from ringfence.cli.suite import Call, Case, Expectation, Expected, Named, Suite
from ringfence.cli.world import Judged, Loaded
from ringfence.controls import evaluate, pod, text
from ringfence.controls.evaluate import Context, Outcome
from ringfence.controls.pod import Pod
from ringfence.inject import identity
from ringfence.model import proxy
from ringfence.model.errors import CannotTell
from ringfence.model.ports import Object
from ringfence.model.verdict import Violation
from ringfence.model.world import Enrolment, World
from ringfence.policy.decide import Effective

PASSED: Final = 0
FAILED: Final = 1

_DESCRIPTION = """
Run the tests of policies: files of kind PolicyTest, each with the policies that it is about and cases. A case gives a
Pod or a workload, a change of a Pod, or a call, and what must come of it. No cluster is needed and none is asked.

A namespace that the policies do not describe is taken as enforced.
"""
_EXAMPLES = """
  {prog} test examples/policy-tests                  # every PolicyTest below the directory
  {prog} test tests/payments.yaml -k refund          # only cases with "refund" in their name
  {prog} test policies/ -o junit > report.xml        # for CI

exit status: 0 every case is as expected, 1 at least one is not, 2 cannot tell (input that cannot be used, no case)
"""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a case; ``wrong`` says how that differs from what was expected, empty when it does not."""

    suite: Suite
    case: Case
    wrong: tuple[str, ...]


def add(subparsers: options.Subparsers) -> None:
    """Define the command."""
    parser = options.command(
        subparsers,
        "test",
        "run policies' own tests: a pod, a change or a call, and what is expected",
        _DESCRIPTION,
        _EXAMPLES,
    )
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a file of tests, or a directory with some below it")
    parser.add_argument("-k", dest="part", default="", metavar="TEXT", help="only cases whose name holds this text")
    options.namespace(parser)
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings of the installation")
    parser.set_defaults(pod_cidr=None)
    options.output(parser, (*COMMON, Output.JUNIT))
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Run and answer."""
    if "-" in arguments.paths:
        raise BadInput([Problem("", 0, "", "PATH", "- is standard input, and tests name files beside them", "a file")])
    results = [
        result
        for each in suite.read(arguments.paths)
        for result in _Runner(each, arguments, console).results(arguments.part)
    ]
    if not results:
        raise CannotTell(f"no case has {arguments.part!r} in its name")
    _answer(results, console)
    return FAILED if any(result.wrong for result in results) else PASSED


class _Runner:
    """Judges the cases of one suite in the world that its policies make."""

    def __init__(self, tested: Suite, arguments: argparse.Namespace, console: Console) -> None:
        self._suite = tested
        self._default = arguments.namespace
        self._bare = options.of_bare(arguments)
        configured = inputs.configured(arguments)
        self._installation, self._proxy = configured.installation, configured.injection
        self._now = time.time() if tested.time is None else tested.time
        self._loaded = world.load(tested.policies, self._installation, default_namespace=self._default)
        if arguments.config is None and (why := inputs.needs_proxies(self._loaded)):
            # What nobody has configured is not to make rules that proxies judge say nothing.
            self._installation = inputs.assumed(self._installation, self._loaded)
            self._loaded = world.load(tested.policies, self._installation, default_namespace=self._default)
            console.detail(f"rules {why}: taken as an installation with proxies, since --config names none")
        for remark in self._loaded.ignored:
            console.detail(remark)
        self._effective: Effective = inputs.effective(self._loaded.world)

    def results(self, part: str) -> Iterable[Result]:
        for case in self._suite.cases:
            if part in case.name:
                yield Result(self._suite, case, tuple(self._wrong(case)))

    def _wrong(self, case: Case) -> list[str]:
        if case.call is not None:
            return self._call(case, case.call)
        assert case.subject is not None  # noqa: S101 (a case is one of the three)
        judged, loaded = self._judged(case.subject)
        context = self._context(judged, loaded)
        if case.before is None:
            outcome = judge(judged, context).outcome
        else:
            outcome = _change(judged, self._judged(case.before)[0], context)
        return _differs(case.expect, outcome)

    def _judged(self, document: Document) -> tuple[Judged, Loaded]:
        """The object with its name and namespace, and the namespace as it is taken to be if no policy describes it."""
        loaded = world.load([document], self._installation, default_namespace=self._default, enforce_unknown=True)
        return loaded.judged[0], loaded

    def _context(self, judged: Judged, loaded: Loaded) -> Context:
        known: World = self._loaded.world
        if judged.namespace in known.namespaces:
            policy = self._effective(judged.namespace)
            return Context(known.namespaces[judged.namespace], policy, self._now, proxy=self._proxy)
        taken = loaded.world.namespaces[judged.namespace]
        policy = inputs.effective(replace(known, namespaces={**known.namespaces, taken.name: taken}))(taken.name)
        return Context(taken, policy, self._now, proxy=self._proxy)

    def _call(self, case: Case, call: Call) -> list[str]:
        field = f"spec.cases[{self._suite.cases.index(case)}].call"
        try:
            source, target = (calls.read(end, self._loaded.world, self._bare) for end in (call.source, call.target))
            sent = None if call.request is None else call.request.request(self._now)
            services = proxies.services(self._loaded, self._default)
            question = Question(self._loaded.world, self._effective, source, target, request=sent, services=services)
            row = question.ask(call.protocol, call.port)
        except NoIssuer as error:
            raise BadInput([self._no_issuer(error, f"{field}.request.token.issuer")]) from error
        except (CannotTell, Usage) as error:
            raise BadInput([self._suite.document.problem(str(error), field=field, subject=suite.KIND)]) from error
        if row.allowed is None:
            unknown = next(
                (each.unknown for each in row.answers if each.unknown), "those that the ends stand for differ"
            )
            return [f"expected {case.expect.verdict}, but it cannot be told: {unknown}"]
        was = Expected.ALLOWED if row.allowed else Expected.DENIED
        if was is case.expect.verdict:
            return []
        verdict = next(each.verdict for each in row.answers if each.verdict is not None)
        half = verdict.deciding
        by = f" by {half.rule}" if half.rule is not None else ""
        return [f"expected {case.expect.verdict}, was {was}: {half.direction} {half.reason}{by}"]

    def _no_issuer(self, error: NoIssuer, field: str) -> Problem:
        listed = ", ".join(error.known)
        message = f"{error.name} is declared by no policy that holds at the target" if error.name else "is left out"
        fix = f"one of {listed}" if listed else "declare it in jwtIssuers, and name that file in spec.policies"
        return self._suite.document.problem(message, fix, field=field, subject=suite.KIND)


def _change(judged: Judged, before: Judged, context: Context) -> Outcome:
    """What the webhook says of an update; the label that it has set at the creation is taken as set."""
    whole = _injected(judged, context), _injected(before, context)
    new, old = (_pod(value, each) for value, each in zip(whole, (judged, before), strict=True))
    if identity.wanted(old):
        old, new = identity.labelled(old), identity.labelled(new)
    return evaluate.update(new, old, context, raw=whole)


def _injected(judged: Judged, context: Context) -> Object:
    """The pod with its proxy, which is taken to run unless the pod's status says otherwise."""
    value: Object = judged.document.value
    if context.proxy is None or context.policy.enrolment is Enrolment.NONE:
        return value
    status = {"initContainerStatuses": [{"name": proxy.CONTAINER, "started": True}]}
    return {"status": status, **evaluate.with_proxy(value, context.proxy, context.policy.enrolment)}


def _pod(value: Object, judged: Judged) -> Pod:
    try:
        return pod.of(value)
    except msgspec.MsgspecError as error:
        raise malformed(judged, evaluate.malformed(judged.kind, judged.document.value, error)) from error


def _differs(expect: Expectation, outcome: Outcome) -> list[str]:
    was = Expected.ADMITTED if outcome.admitted else Expected.REJECTED
    wrong = []
    if was is not expect.verdict:
        wrong = [f"expected {expect.verdict}, was {was}", *(_shown(each) for each in outcome.violations)]
    elif expect.violations is not None:
        wrong = _unlike("violation", expect.violations, outcome.violations)
    if expect.warnings is not None:
        wrong += _unlike("warning", expect.warnings, outcome.warnings)
    return wrong


def _unlike(what: str, expected: Sequence[Named], found: Sequence[Violation]) -> list[str]:
    """What is missing, and what is there beyond."""

    def same(one: Named, other: Violation) -> bool:
        return one.control == other.control and one.field in (None, other.field)

    missing = [each for each in expected if not any(same(each, other) for other in found)]
    beyond = [each for each in found if not any(same(other, each) for other in expected)]
    return [
        *(f"expected the {what} {each}, which was not found" for each in missing),
        *(f"found a {what} that was not expected: {_shown(each)}" for each in beyond),
    ]


def _shown(violation: Violation) -> str:
    return f"{violation.field} {violation.message} [{text.source(violation)}]"


def _answer(results: Sequence[Result], console: Console) -> None:
    failed = sum(bool(each.wrong) for each in results)
    match console.output:
        case Output.TEXT:
            _tell(results, console)
            console.print(f"{len(results) - failed} passed, {failed} failed")
        case Output.JUNIT:
            console.document(junit.report("ringfence test", [_case(each) for each in results]))
        case _:
            passed = len(results) - failed
            console.data({"passed": passed, "failed": failed, "results": [_data(each) for each in results]})


def _tell(results: Sequence[Result], console: Console) -> None:
    shown = None
    for each in results:
        if each.suite is not shown:
            shown = each.suite
            console.print(Cell(f"{shown.name} ({shown.document.source})", Style.STRONG))
        mark = Cell("  FAILED  ", Style.BAD) if each.wrong else Cell("  ok      ", Style.GOOD)
        where = f" ({each.suite.document.source}:{each.case.line})" if each.wrong else ""
        console.print(mark, each.case.name, where)
        for difference in each.wrong:
            console.print("          ", difference)


def _case(result: Result) -> junit.Case:
    source = result.suite.document.source
    failure = "\n".join(result.wrong)
    return junit.Case(result.suite.name, result.case.name, failure, "", os.path.normpath(source), result.case.line)


def _data(result: Result) -> dict[str, Any]:
    return {
        "suite": result.suite.name,
        "name": result.case.name,
        "source": f"{result.suite.document.source}:{result.case.line}",
        "passed": not result.wrong,
        "wrong": list(result.wrong),
    }
