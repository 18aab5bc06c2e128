"""What holds for Ringfence's other objects in enrolled namespaces: trust bundles and the Secrets of identities.

Whoever could change or forge them would decide whom programs trust. They are told by Ringfence's label and by the names
that are kept for them; every other ConfigMap and Secret is past this after one look at its name and label.
"""

from collections.abc import Sequence
from typing import Any, Final

from ringfence.model import names
from ringfence.translate import cel
from ringfence.translate.backstop import form
from ringfence.translate.backstop.form import Validation

NAME: Final = "ringfence-objects"

_IS_BUNDLE: Final = "request.resource.resource == 'configmaps'"
_WHOSE: Final = "'this ' + object.kind + ' '"


def policy(exempt: Sequence[str], user: str) -> dict[str, Any]:
    """``user`` (CEL) is the controller, for whom none of this holds."""
    bundle, suffix = cel.literal(names.TRUST_BUNDLE), cel.literal(names.IDENTITY_SECRET_SUFFIX)
    conditions = {
        "not-by-ringfence": f"request.userInfo.username != {user}",
        "is-ringfences": cel.either(
            form.ours(cel.labels("object")),
            form.ours(cel.labels("oldObject")),
            f"{_IS_BUNDLE} && {cel.either(*(f'{cel.name(of)} == {bundle}' for of in ('object', 'oldObject')))}",
            # One from before enrolment, or from before its name was kept, may go on being its owner's.
            f"!({_IS_BUNDLE}) && request.operation == 'CREATE' && {cel.name('object')}.endsWith({suffix})",
        ),
    }
    variables = {"ours": form.ours(cel.labels("oldObject"))}
    validations = [
        Validation(
            "request.operation != 'CREATE'",
            f"ConfigMap {names.TRUST_BUNDLE}, Secrets whose names end in {names.IDENTITY_SECRET_SUFFIX} and what has "
            f"the label {names.LABEL_MANAGED_BY}: {names.MANAGED_BY} are written by Ringfence only: take another name "
            "and no such label, or ask for a certificate by a ServiceIdentity",
        ),
        Validation(
            cel.either("request.operation != 'UPDATE'", form.harmless()),
            "this object is Ringfence's, or would become so by its label; leave it as it is",
        ),
        Validation(
            cel.either(
                "request.operation != 'DELETE'",
                "!variables.ours",
                form.NAMESPACE_ENDS,
                form.BY_GARBAGE_COLLECTOR,
                form.MAY_ENROLL,
            ),
            "this object is Ringfence's; a Secret goes with its ServiceIdentity, the trust bundle with the enrolment",
        ),
    ]
    made = form.policy(
        NAME, [form.rule("", ["configmaps", "secrets"], form.CHANGES)], conditions, variables, validations
    )
    made["spec"]["matchConstraints"]["namespaceSelector"] = form.enrolled_selector(exempt)
    return made
