"""What holds for NetworkPolicies, and kinds that mean the same: in enforced namespaces only Ringfence writes them."""

from collections.abc import Sequence
from typing import Any, Final

from ringfence.model.foreign_policies import FOREIGN
from ringfence.translate import cel
from ringfence.translate.backstop import form
from ringfence.translate.backstop.form import Validation

NAME: Final = "ringfence-network-policies"
_GROUP: Final = "networking.k8s.io"

#: What does not say what is open. Which other fields do is for each kind to know: all of them count.
_SILENT: Final = cel.literal(("metadata", "status"))


def policy(exempt: Sequence[str], user: str) -> dict[str, Any]:
    """``user`` (CEL) is the controller, which writes NetworkPolicies and none of the kinds of others."""
    kubernetes = f"request.resource.group == {cel.literal(_GROUP)}"
    variables = {
        "after": cel.labels("object"),
        "before": cel.labels("oldObject"),
        "ours": cel.both(kubernetes, form.ours("variables.before")),
        "becomesOurs": cel.both(kubernetes, form.ours("variables.after")),
        "saysTheSame": f"{_within('object', 'oldObject')} && {_within('oldObject', 'object')}",
    }
    validations = [
        Validation(
            "request.operation != 'CREATE'",
            "in a namespace that Ringfence enforces only Ringfence writes NetworkPolicies, of whichever kind: "
            "say what shall be open in a SecurityPolicy",
        ),
        Validation(
            cel.either(
                "request.operation != 'UPDATE'",
                "!variables.ours && !variables.becomesOurs && variables.saysTheSame",
                f"variables.saysTheSame && ({form.harmless()})",
            ),
            "in a namespace that Ringfence enforces NetworkPolicies, of whichever kind, do not change; "
            "delete this one if it is not Ringfence's, and say what shall be open in a SecurityPolicy",
        ),
        Validation(
            cel.either("request.operation != 'DELETE'", "!variables.ours", form.NAMESPACE_ENDS, form.MAY_ENROLL),
            "this NetworkPolicy is Ringfence's; it goes when the SecurityPolicy or the enrolment that asks for it goes",
        ),
    ]
    made = form.policy(
        NAME,
        [
            form.rule(_GROUP, ["networkpolicies"], form.CHANGES),
            *(form.rule(each.group, [each.plural], form.CHANGES) for each in FOREIGN),
        ],
        {"not-by-ringfence": f"!({kubernetes} && request.userInfo.username == {user})"},
        variables,
        validations,
    )
    made["spec"]["matchConstraints"]["namespaceSelector"] = form.enrolled_selector(exempt, ("enforce",))
    return made


def _within(one: str, other: str) -> str:
    """Whether all that an object says stands in the other as well."""
    held = f"key in dyn({other}) && dyn({one})[key] == dyn({other})[key]"
    return f"dyn({one}).all(key, key in {_SILENT} || ({held}))"
