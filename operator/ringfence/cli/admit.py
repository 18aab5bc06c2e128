"""`ringfence admit`: what admission would say of pods and workloads, by the evaluator that the webhook asks."""

import argparse
import time
from collections.abc import Iterable
from typing import Any, Final

from ringfence.cli import inputs, options, world
from ringfence.cli.console import Cell, Console, Output, Style
from ringfence.cli.documents import Document
from ringfence.cli.problems import BadInput, Problem
from ringfence.cli.world import Judged, Loaded
from ringfence.controls import evaluate, registry, templates, text
from ringfence.controls.evaluate import Context, Outcome
from ringfence.model.errors import CannotTell, InvalidResource, RingfenceError
from ringfence.model.names import GROUP
from ringfence.model.verdict import Violation
from ringfence.model.world import Enrolment

ADMITTED: Final = 0
REJECTED: Final = 1

_DESCRIPTION = """
Say what admission would say of the Pods and workloads in the files, with the field, the line and the fix of everything
that is wrong. Workloads are judged by the pods that they would make. Nothing is created anywhere.

They are judged against the policies, identities and namespaces in the same files; when there are none of these, against
those of the cluster. A namespace that the files do not describe is taken as enforced.
"""
_EXAMPLES = """
  {prog} admit -f examples/shop                            # the whole application against its own policies
  {prog} admit -f policies/ -f deployment.yaml -n shop     # in a pipeline, before anything is applied
  helm template web charts/web | {prog} admit -f -         # against the policies of the cluster
  {prog} admit -f pod.yaml -o json | jq '.results[] | select(.admitted == false)'

exit status: 0 all admitted, 1 at least one rejected, 2 cannot tell (input that cannot be used, no cluster to ask)
"""


def add(subparsers: options.Subparsers) -> None:
    """Define the command."""
    parser = options.command(
        subparsers, "admit", "say what admission would say of pods and workloads", _DESCRIPTION, _EXAMPLES
    )
    options.files(parser, "pods and workloads to judge, and the policies to judge them by")
    parser.add_argument(
        "--against",
        choices=("auto", "files", "cluster"),
        default="auto",
        help="whose policies count (default auto: those in the files, if there are any, else the cluster's)",
    )
    options.cluster(parser)
    options.output(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Judge and answer."""
    if not arguments.filename:
        raise BadInput([Problem("", 0, "", "-f", "is missing", "name the files with the pods to judge")])
    documents = inputs.given(arguments)
    loaded, judged = _load(arguments, documents, console)
    if not judged:
        raise CannotTell("the files hold no Pod and no workload to judge")
    inputs.must_be_readable(loaded, {each.namespace for each in judged})
    effective = inputs.effective(loaded.world)
    now = time.time()
    outcomes = []
    for each in judged:
        namespace = loaded.world.namespaces.get(each.namespace)
        if namespace is None:
            raise CannotTell(f"{each} ({each.document.place}): the cluster has no namespace {each.namespace}")
        context = Context(namespace, effective(each.namespace), now)
        outcomes.append((each, context, _judge(each, context)))
    _answer(outcomes, console)
    return ADMITTED if all(outcome.admitted for _, _, outcome in outcomes) else REJECTED


def _load(
    arguments: argparse.Namespace, documents: tuple[Document, ...], console: Console
) -> tuple[Loaded, tuple[Judged, ...]]:
    """The world to judge by, and what to judge."""
    against = arguments.against
    if against == "auto":
        against = "files" if any(_tells_policy(document) for document in documents) else "cluster"
    found = inputs.configured(arguments)
    loaded = world.load(
        documents, found.installation, default_namespace=arguments.namespace, enforce_unknown=True, any_name=True
    )
    for problem in loaded.misnamed:
        console.warn(f"{problem}; no API server takes it, but it is judged all the same")
    if against == "files":
        inputs.remark(loaded, console)
        return loaded, loaded.judged
    try:
        return inputs.from_cluster(arguments, console)[0], loaded.judged
    except RingfenceError as error:
        raise CannotTell(f"the files hold no policy to judge by, and the cluster cannot be asked: {error}") from error


def _tells_policy(document: Document) -> bool:
    """Whether a document says by what to judge."""
    if not isinstance(document.value, dict):
        return False
    group, kind = templates.group_kind(document.value)
    return group == GROUP or (group, kind) == world.NAMESPACE


def _judge(judged: Judged, context: Context) -> Outcome:
    try:
        return evaluate.admit(judged.document.value, context)
    except InvalidResource as error:
        subject = f"{judged.kind} {judged.namespace}/{judged.name}"
        problems = [judged.document.problem(e.message, e.fix, field=e.path, subject=subject) for e in error.errors]
        raise BadInput(problems) from error


Outcomes = list[tuple[Judged, Context, Outcome]]


def _answer(outcomes: Outcomes, console: Console) -> None:
    if console.output is not Output.TEXT:
        rejected = sum(not outcome.admitted for _, _, outcome in outcomes)
        console.data({"admitted": rejected == 0, "results": [_data(*each) for each in outcomes]})
        return
    for judged, context, outcome in outcomes:
        console.print(str(judged), ": ", *_head(judged, context, outcome))
        _list(judged, outcome.violations, Cell("  - ", Style.BAD), console)
        _list(judged, outcome.warnings, Cell("  warning: ", Style.CAUTION), console)


def _head(judged: Judged, context: Context, outcome: Outcome) -> Iterable[str | Cell]:
    pods = "" if judged.kind == "Pod" else "its pods would be "
    if not outcome.admitted:
        return pods, Cell("rejected", Style.BAD)
    if context.policy.enrolment is Enrolment.NONE:
        return pods, Cell("admitted", Style.GOOD), f" (namespace {context.namespace.name} is not enrolled)"
    return pods, Cell("admitted", Style.GOOD)


def _list(judged: Judged, violations: Iterable[Violation], lead: Cell, console: Console) -> None:
    for each in violations:
        place = judged.document.problem("", field=each.field)
        where = f"{place.source}:{place.line}" if place.line else place.source
        console.print(lead, where, ": ", Cell(each.field, Style.STRONG), f" {each.message}")
        console.print(f"      fix: {each.fix} [{text.source(each)}]")


def _data(judged: Judged, context: Context, outcome: Outcome) -> dict[str, Any]:
    return {
        "kind": judged.kind,
        "namespace": judged.namespace,
        "name": judged.name,
        "source": judged.document.place,
        "enrolment": str(context.policy.enrolment),
        "admitted": outcome.admitted,
        "violations": [_violation(judged, each) for each in outcome.violations],
        "warnings": [_violation(judged, each) for each in outcome.warnings],
    }


def _violation(judged: Judged, violation: Violation) -> dict[str, Any]:
    return {
        "control": violation.control,
        "podSecurityCheck": registry.KUBERNETES.get(violation.control, ""),
        "reason": violation.reason,
        "standard": violation.standard,
        "field": violation.field,
        "line": judged.document.problem("", field=violation.field).line,
        "message": violation.message,
        "fix": violation.fix,
        "policy": violation.policy,
    }
