"""What holds for the right to Secrets: one RoleBinding in each enrolled namespace, to the controller, and no other.

The controller may bind the ClusterRole wherever it likes as far as RBAC goes. Here it is held to where it needs it, so
that no defect of its own, and nobody else who may bind, gives it or anybody the Secrets of other namespaces. Whoever
steals its token can take this policy away first (ADR 284).
"""

from collections.abc import Sequence
from typing import Any, Final

from ringfence.model import names
from ringfence.translate import cel
from ringfence.translate.backstop import form
from ringfence.translate.backstop.form import Validation

NAME: Final = "ringfence-secret-rights"

_GROUP: Final = "rbac.authorization.k8s.io"
_ROLE: Final = cel.literal(names.SECRETS_ROLE)


def policy(exempt: Sequence[str], user: str, namespace: str, account: str) -> dict[str, Any]:
    """``user`` (CEL) is the controller, ``account`` its ServiceAccount in ``namespace``, Ringfence's own."""
    conditions = {"is-ringfences": cel.either(_concerns("object"), _concerns("oldObject"))}
    subject = (
        f"s.kind == 'ServiceAccount' && s.name == {cel.literal(account)} && "
        f"has(s.namespace) && s.namespace == {cel.literal(namespace)}"
    )
    variables = {
        "byUs": f"request.userInfo.username == {user}",
        "harmless": f"request.operation == 'UPDATE' && {cel.either(form.harmless())}",
        "named": f"request.resource.resource == 'rolebindings' && {cel.name('oldObject')} == {_ROLE}",
    }
    validations = [
        Validation(
            cel.either("request.operation == 'DELETE'", "variables.harmless", "variables.byUs"),
            f"ClusterRole {names.SECRETS_ROLE} and the RoleBindings of that name are Ringfence's: bind another role",
        ),
        Validation(
            cel.either(
                "request.operation == 'DELETE'",
                "variables.harmless",
                cel.both(
                    "request.resource.resource == 'rolebindings'",
                    f"{cel.name('object')} == {_ROLE}",
                    f"object.roleRef.kind == 'ClusterRole' && object.roleRef.name == {_ROLE}",
                    f"has(object.subjects) && size(object.subjects) == 1 && object.subjects.all(s, {subject})",
                    form.enrolled(exempt),
                ),
            ),
            f"ClusterRole {names.SECRETS_ROLE} is bound in enrolled namespaces only, by a RoleBinding of its name, to "
            f"ServiceAccount {namespace}/{account} alone",
        ),
        Validation(
            cel.either(
                "request.operation != 'DELETE'",
                "!variables.named",
                "variables.byUs",
                form.NAMESPACE_ENDS,
                form.MAY_ENROLL,
            ),
            "this RoleBinding is Ringfence's; it goes when the namespace is not enrolled any more",
        ),
    ]
    rules = [form.rule(_GROUP, ["rolebindings", "clusterrolebindings"], form.CHANGES)]
    return form.policy(NAME, rules, conditions, variables, validations)


def _concerns(of: str) -> str:
    """Whether ``object`` or ``oldObject`` binds the role, or is a RoleBinding of its name."""
    return cel.both(
        f"{of} != null",
        cel.either(
            f"{of}.roleRef.kind == 'ClusterRole' && {of}.roleRef.name == {_ROLE}",
            f"request.resource.resource == 'rolebindings' && {cel.name(of)} == {_ROLE}",
        ),
    )
