"""What holds for the tokens by which proxies show whose pod they are: kubelets ask for them, and nobody else.

Whoever may create ``serviceaccounts/token`` in a namespace could ask for one in the name of any of its pods, go to
proxyd with it, and be given that pod's certificate with its key.
"""

from typing import Any, Final

from ringfence.model import proxy
from ringfence.translate import cel
from ringfence.translate.backstop import form
from ringfence.translate.backstop.form import Validation

NAME: Final = "ringfence-proxy-tokens"

#: NodeRestriction holds a kubelet to the pods of its own node.
_BY_KUBELET: Final = cel.both(
    "request.userInfo.username.startsWith('system:node:')",
    "has(request.userInfo.groups) && 'system:nodes' in request.userInfo.groups",
)


def policy() -> dict[str, Any]:
    """For every namespace: what a token is good for is asked of it wherever it comes from."""
    audience = cel.literal(proxy.AUDIENCE)
    validations = [
        Validation(
            _BY_KUBELET,
            f"tokens for the audience {proxy.AUDIENCE} are for proxies, for whom kubelets ask; ask for one for whom "
            "the program calls",
        )
    ]
    return form.policy(
        NAME,
        [form.rule("", ["serviceaccounts/token"], ["CREATE"])],
        {"for-proxyd": f"has(object.spec.audiences) && {audience} in object.spec.audiences"},
        {},
        validations,
    )
