"""Objects that were read, judged as admission would judge them: what `admit` and `test` have in common."""

from dataclasses import dataclass

from ringfence.cli.problems import BadInput
from ringfence.cli.world import Judged
from ringfence.controls import evaluate
from ringfence.controls.evaluate import Context, Outcome
from ringfence.model.errors import InvalidResource
from ringfence.model.verdict import Violation


@dataclass(frozen=True, slots=True)
class Judgement:
    """One object, what it was judged by, and what came of it."""

    judged: Judged
    context: Context
    outcome: Outcome

    def line(self, violation: Violation) -> int:
        """Where the field stands in its file; 0 for what was read from no file."""
        return self.judged.document.problem("", field=violation.field).line


def judge(judged: Judged, context: Context) -> Judgement:
    """What admission would say if somebody created the object; raises BadInput when it is malformed."""
    try:
        return Judgement(judged, context, evaluate.admit(judged.document.value, context))
    except InvalidResource as error:
        raise malformed(judged, error) from error


def malformed(judged: Judged, error: InvalidResource) -> BadInput:
    """The error with the place of each field."""
    subject = f"{judged.kind} {judged.namespace}/{judged.name}"
    return BadInput([judged.document.problem(e.message, e.fix, field=e.path, subject=subject) for e in error.errors])
