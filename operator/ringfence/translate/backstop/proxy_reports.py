"""What holds for the ConfigMaps of Ringfence's own namespace: proxyd writes its reports there, and no other.

Each replica's report is named after its pod, which RBAC cannot say. Beside them is what Ringfence is installed by: the
image of the proxies, the namespaces that are exempt, whom proxies take for proxyd.
"""

from typing import Any, Final

from ringfence.model import acknowledgements, names
from ringfence.translate import cel
from ringfence.translate.backstop import form
from ringfence.translate.backstop.form import Validation

NAME: Final = "ringfence-proxy-reports"


def policy(namespace: str, user: str) -> dict[str, Any]:
    """``namespace`` is Ringfence's own, ``user`` (CEL) is proxyd."""
    prefix = cel.literal(acknowledgements.NAME_PREFIX)
    validations = [
        Validation(
            cel.both(*(f"{of} == null || {of}.metadata.name.startsWith({prefix})" for of in ("object", "oldObject"))),
            f"proxyd writes ConfigMaps whose names begin with {acknowledgements.NAME_PREFIX}, and no others",
        )
    ]
    made = form.policy(
        NAME,
        [form.rule("", ["configmaps"], form.CHANGES)],
        {"by-proxyd": f"request.userInfo.username == {user}"},
        {},
        validations,
    )
    selector = {"matchLabels": {names.LABEL_NAMESPACE_NAME: namespace}}
    made["spec"]["matchConstraints"]["namespaceSelector"] = selector
    return made
