"""What holds for NetworkPolicies: in enforced namespaces only Ringfence writes them."""

from collections.abc import Sequence
from typing import Any, Final

from ringfence.translate import cel
from ringfence.translate.backstop import form
from ringfence.translate.backstop.form import Validation

NAME: Final = "ringfence-network-policies"


def policy(exempt: Sequence[str], user: str) -> dict[str, Any]:
    """``user`` (CEL) is the controller."""
    variables = {
        "after": cel.labels("object"),
        "before": cel.labels("oldObject"),
        "ours": form.ours("variables.before"),
        "becomesOurs": form.ours("variables.after"),
    }
    validations = [
        Validation(
            "request.operation != 'CREATE'",
            "in a namespace that Ringfence enforces only Ringfence writes NetworkPolicies: "
            "say what shall be open in a SecurityPolicy",
        ),
        Validation(
            cel.either(
                "request.operation != 'UPDATE'",
                "!variables.ours && !variables.becomesOurs && object.spec == oldObject.spec",
                form.harmless(),
            ),
            "in a namespace that Ringfence enforces NetworkPolicies do not change; "
            "delete this one if it is not Ringfence's, and say what shall be open in a SecurityPolicy",
        ),
        Validation(
            cel.either("request.operation != 'DELETE'", "!variables.ours", form.NAMESPACE_ENDS, form.MAY_ENROLL),
            "this NetworkPolicy is Ringfence's; it goes when the SecurityPolicy or the enrolment that asks for it goes",
        ),
    ]
    made = form.policy(
        NAME,
        [form.rule("networking.k8s.io", ["networkpolicies"], form.CHANGES)],
        {"not-by-ringfence": f"request.userInfo.username != {user}"},
        variables,
        validations,
    )
    made["spec"]["matchConstraints"]["namespaceSelector"] = form.enrolled_selector(exempt, ("enforce",))
    return made
