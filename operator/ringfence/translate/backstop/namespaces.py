"""What holds for Namespaces: Ringfence and whoever may ``enroll`` set what is Ringfence's on them."""

from collections.abc import Sequence
from typing import Any, Final

from ringfence.model import names
from ringfence.model.world import Enrolment
from ringfence.translate import cel
from ringfence.translate.backstop import form
from ringfence.translate.backstop.form import Validation

NAME: Final = "ringfence-namespaces"
#: What Ringfence records in a Namespace's status once its network is closed.
CONDITION_ENFORCED: Final = f"{names.GROUP}/Enforced"

_ENROLL: Final = cel.literal(names.LABEL_ENROLL)


def policy(exempt: Sequence[str], user: str, default: Enrolment) -> dict[str, Any]:
    """``user`` (CEL) is the controller; ``default`` what a new namespace carries when its author may not choose."""
    differ = [cel.reserved_differ(cel.labels("object"), cel.labels("oldObject"))]
    differ.append(f"{_enforced('object')} != {_enforced('oldObject')}")
    by_default = "false"
    if default is not Enrolment.NONE:
        # A new namespace carries the default whoever makes it: else its author opts out by making it anew.
        differ.append(f"request.operation == 'CREATE' && !({cel.name('object')} in {cel.literal(exempt)})")
        by_default = cel.both(
            "request.operation == 'CREATE'",
            f"variables.after.filter(key, key.startsWith({cel.literal(names.RESERVED_PREFIX)})) == [{_ENROLL}]",
            f"variables.after[{_ENROLL}] == {cel.literal(default.value)}",
        )
    validations = [
        Validation(
            cel.either(f"request.userInfo.username == {user}", by_default, form.MAY_ENROLL),
            f"labels of a Namespace under {names.RESERVED_PREFIX} are set by whoever may enrol: "
            f"ask for the verb {names.VERB_ENROLL} on clustersecuritypolicies.{names.GROUP}",
        ),
        Validation(
            f"!({_ENROLL} in variables.after) || !({cel.name('object')} in {cel.literal(exempt)})",
            "this namespace belongs to Kubernetes, to Ringfence or to the platform's exceptions and is never enrolled",
        ),
    ]
    return form.policy(
        NAME,
        [form.rule("", ["namespaces", "namespaces/*"], form.WRITES)],
        {"what-is-ringfences-differs": cel.either(*differ)},
        {"after": cel.labels("object")},
        validations,
    )


def _enforced(of: str) -> str:
    """The status of Ringfence's condition in a Namespace, as a list of at most one."""
    return (
        f"({of} != null && has({of}.status) && has({of}.status.conditions) ? {of}.status.conditions"
        f".filter(c, c.type == {cel.literal(CONDITION_ENFORCED)}).map(c, c.status) : [])"
    )
