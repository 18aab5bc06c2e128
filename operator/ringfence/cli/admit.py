"""`ringfence admit`: what admission would say of pods and workloads, by the evaluator that the webhook asks."""

import argparse
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

from ringfence.cli import inputs, junit, options, sarif, world
from ringfence.cli.console import COMMON, Cell, Console, Output, Style
from ringfence.cli.documents import Document
from ringfence.cli.judging import Judgement, judge
from ringfence.cli.problems import BadInput, Problem
from ringfence.cli.world import Judged, Loaded
from ringfence.controls import registry, templates, text
from ringfence.controls.evaluate import Context
from ringfence.inject.injection import Injection
from ringfence.model.errors import CannotTell, RingfenceError
from ringfence.model.names import GROUP
from ringfence.model.resources import PodSecurityException
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
  kustomize build overlays/prod | {prog} admit -f - -f policies/
  {prog} admit -f pod.yaml -o json | jq '.results[] | select(.admitted == false)'
  {prog} admit -f deploy/ -f policies/ -o sarif > ringfence.sarif       # for code hosts; -o junit for CI

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
    options.output(parser, (*COMMON, Output.SARIF, Output.JUNIT))
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Judge and answer."""
    if not arguments.filename:
        raise BadInput([Problem("", 0, "", "-f", "is missing", "name the files with the pods to judge")])
    documents = inputs.given(arguments)
    loaded, judged, proxy = _load(arguments, documents, console)
    if not judged:
        raise CannotTell("the files hold no Pod and no workload to judge")
    inputs.must_be_readable(loaded, {each.namespace for each in judged})
    effective = inputs.effective(loaded.world)
    now = time.time()
    judgements = []
    for each in judged:
        namespace = loaded.world.namespaces.get(each.namespace)
        if namespace is None:
            raise CannotTell(f"{each} ({each.document.place}): the cluster has no namespace {each.namespace}")
        judgements.append(judge(each, Context(namespace, effective(each.namespace), now, proxy=proxy)))
    _answer(judgements, console)
    return ADMITTED if all(each.outcome.admitted for each in judgements) else REJECTED


def _load(
    arguments: argparse.Namespace, documents: tuple[Document, ...], console: Console
) -> tuple[Loaded, tuple[Judged, ...], Injection | None]:
    """The world to judge by, what to judge, and how pods get their proxy."""
    against = arguments.against
    if against == "auto":
        against = "files" if any(_tells_policy(document) for document in documents) else "cluster"
    found = inputs.with_proxies(inputs.configured(arguments), arguments)
    loaded = world.load(
        documents, found.installation, default_namespace=arguments.namespace, enforce_unknown=True, any_name=True
    )
    for problem in loaded.misnamed:
        console.warn(f"{problem}; no API server takes it, but it is judged all the same")
    if against == "files":
        inputs.remark(loaded, console)
        if arguments.config is None:
            console.note("taken as an installation with proxies, since --config names none")
        return loaded, loaded.judged, found.injection
    try:
        known, settings = inputs.from_cluster(arguments, console)
    except RingfenceError as error:
        raise CannotTell(f"the files hold no policy to judge by, and the cluster cannot be asked: {error}") from error
    return known, loaded.judged, settings.injection


def _tells_policy(document: Document) -> bool:
    """Whether a document says by what to judge."""
    if not isinstance(document.value, dict):
        return False
    group, kind = templates.group_kind(document.value)
    return group == GROUP or (group, kind) == world.NAMESPACE


def _answer(judgements: Sequence[Judgement], console: Console) -> None:
    match console.output:
        case Output.TEXT:
            for each in judgements:
                _tell(each, console)
        case Output.SARIF:
            console.data(sarif.log(judgements))
        case Output.JUNIT:
            console.document(junit.report("ringfence admit", [_case(each) for each in judgements]))
        case _:
            admitted = all(each.outcome.admitted for each in judgements)
            console.data({"admitted": admitted, "results": [_data(each) for each in judgements]})


def _tell(judgement: Judgement, console: Console) -> None:
    console.print(str(judgement.judged), ": ", *_head(judgement))
    for violations, lead in (
        (judgement.outcome.violations, Cell("  - ", Style.BAD)),
        (judgement.outcome.warnings, Cell("  warning: ", Style.CAUTION)),
    ):
        for each in violations:
            console.print(lead, _place(judgement, each), ": ", Cell(each.field, Style.STRONG), f" {each.message}")
            console.print(f"      fix: {each.fix} [{text.source(each)}]")


def _head(judgement: Judgement) -> Iterable[str | Cell]:
    policy = judgement.context.policy
    pods = "" if judgement.judged.kind == "Pod" else "its pods would be "
    if not judgement.outcome.admitted:
        return pods, Cell("rejected", Style.BAD)
    if policy.enrolment is Enrolment.NONE:
        return pods, Cell("admitted", Style.GOOD), f" (namespace {policy.namespace} is not enrolled)"
    used = judgement.outcome.used
    if used is None:
        return pods, Cell("admitted", Style.GOOD)
    return pods, Cell("admitted", Style.GOOD), f" by exception {used.policy}/{used.name}, until {used.until}"


def _place(judgement: Judgement, violation: Violation) -> str:
    source, line = judgement.judged.document.source, judgement.line(violation)
    return f"{source}:{line}" if line else source


def _case(judgement: Judgement) -> junit.Case:
    """A test that passes when the object is admitted; what is only warned of is a remark."""
    outcome, document = judgement.outcome, judgement.judged.document
    broken = _listed(judgement, outcome.violations)
    return junit.Case(
        group=judgement.judged.namespace,
        name=str(judgement.judged),
        failure="\n".join((f"rejected for {len(broken)} reason{'s' * (len(broken) > 1)}", *broken)) if broken else "",
        remarks="\n".join(_listed(judgement, outcome.warnings)),
        file=document.source,
        line=document.position.line,
    )


def _listed(judgement: Judgement, violations: Iterable[Violation]) -> list[str]:
    return [
        f"{_place(judgement, each)}: {each.field} {each.message}; fix: {each.fix} [{text.source(each)}]"
        for each in violations
    ]


def _data(judgement: Judgement) -> dict[str, Any]:
    judged, outcome = judgement.judged, judgement.outcome
    return {
        "kind": judged.kind,
        "namespace": judged.namespace,
        "name": judged.name,
        "source": judged.document.place,
        "enrolment": str(judgement.context.policy.enrolment),
        "admitted": outcome.admitted,
        "violations": [_violation(judgement, each) for each in outcome.violations],
        "warnings": [_violation(judgement, each) for each in outcome.warnings],
        **({"exception": _exception(outcome.used)} if outcome.used is not None else {}),
    }


def _exception(used: PodSecurityException) -> dict[str, Any]:
    return {
        "policy": used.policy,
        "name": used.name,
        "controls": list(used.controls),
        "reason": used.reason,
        "until": used.until,
    }


def _violation(judgement: Judgement, violation: Violation) -> dict[str, Any]:
    return {
        "control": violation.control,
        "podSecurityCheck": registry.KUBERNETES.get(violation.control, ""),
        "reason": violation.reason,
        "standard": violation.standard,
        "field": violation.field,
        "line": judgement.line(violation),
        "message": violation.message,
        "fix": violation.fix,
        "policy": violation.policy,
    }
