"""What holds for ImageVerdicts: whoever could write an answer could have any image run."""

from typing import Any, Final

from ringfence.model import names
from ringfence.translate import cel
from ringfence.translate.backstop import form
from ringfence.translate.backstop.form import Validation

NAME: Final = "ringfence-verdicts"


def policy(user: str, webhook: str) -> dict[str, Any]:
    """``user`` and ``webhook`` (CEL) are the controller, which answers, and the webhook, which asks."""
    asks = cel.both(f"request.userInfo.username == {webhook}", f"{cel.SUBRESOURCE} == ''")
    takes_away = cel.both("request.operation == 'DELETE'", cel.either(form.NAMESPACE_ENDS, form.MAY_ENROLL))
    validations = [
        Validation(
            cel.either(asks, takes_away, cel.both("request.operation == 'UPDATE'", form.harmless())),
            "ImageVerdicts are Ringfence's: it writes what it finds out about images, and takes back what is old",
        )
    ]
    return form.policy(
        NAME,
        [form.rule(names.GROUP, ["imageverdicts", "imageverdicts/*"], form.CHANGES)],
        {"not-by-ringfence": f"request.userInfo.username != {user}"},
        {},
        validations,
    )
