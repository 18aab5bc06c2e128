"""No credential is written into the environment of a container: whoever may read the pod could read it.

Fields: env[*].value of every container. Refused: a value that is written out for a name that says credential (or that
the policy names), and a value that has the form of one. The value itself is never shown.
"""

from collections.abc import Iterator
from typing import Final

from ringfence.controls import credentials
from ringfence.controls.control import Check, Found, PolicyControl, container, shown
from ringfence.controls.credentials import Form
from ringfence.controls.pod import Subject
from ringfence.model.demands import ControlId

_FIX: Final = "keep it in a Secret, mount that as a volume and have the program read the file"


def prepare(names: tuple[str, ...]) -> Check:
    """The check for names that say credential, and ``names`` beside them."""
    more = frozenset(names)

    def check(subject: Subject) -> Iterator[Found]:
        room = credentials.Room()
        for field, each in subject.containers:
            if not each.env:
                continue
            values = [variable.value for variable in each.env if variable.value]
            if not room.for_all(values):
                yield Found(f"{field}.env", credentials.NO_ROOM, credentials.NO_ROOM_FIX)
                return
            forms = credentials.possible(values)
            for index, variable in enumerate(each.env):
                value = variable.value
                if not value:
                    continue
                told = credentials.named(variable.name) or variable.name in more
                if (forms or told or len(value) > credentials.MAX_TEXT) and (what := _complaint(value, forms, told)):
                    where = f"in variable {shown(variable.name)} of {container(each.name)}"
                    yield Found(f"{field}.env[{index}].value", f"{what} {where}", _FIX)

    return check


def _complaint(value: str, forms: tuple[Form, ...], told: bool) -> str:
    if len(value) > credentials.MAX_TEXT:
        return f"has more than {credentials.MAX_TEXT} characters, too many to look for credentials in,"
    form = credentials.found(value, forms)
    if form is not None:
        return f'looks like {form.what} ("{form.shows}")'
    if told and credentials.literal(value):
        return f'is a credential by its name and has a value ("{credentials.MASK}")'
    return ""


CONTROL: Final = PolicyControl(
    id=ControlId.CREDENTIALS_ENVIRONMENT,
    title="No credentials are written into environment variables",
    prepare=prepare,
)
