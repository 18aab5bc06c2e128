"""Nobody asks for user 0.

Fields: securityContext.runAsUser of the pod and of every container. Allowed: absent, any but 0. Since 1.35 pods
in a user namespace of their own (hostUsers false) are left alone: their root is nobody outside. In force since 1.23.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from ringfence.controls.control import Control, Found, Revision, container
from ringfence.controls.pod import Subject
from ringfence.model.resources import PodSecurityLevel

_FIX: Final = "remove it or use another user than 0"


def check(subject: Subject) -> Iterable[Found]:
    return _everywhere(subject) if not subject.user_namespace else ()


def _everywhere(subject: Subject) -> Iterator[Found]:
    if subject.context and subject.context.run_as_user == 0:
        yield Found(f"{subject.prefix}spec.securityContext.runAsUser", "is 0 (root)", _FIX)
    for field, each, context in subject.secured:
        if context.run_as_user == 0:
            yield Found(f"{field}.securityContext.runAsUser", f"is 0 (root) for {container(each.name)}", _FIX)


CONTROL: Final = Control(
    id="run-as-user",
    level=PodSecurityLevel.RESTRICTED,
    title="Containers do not ask for user 0",
    kubernetes="runAsUser",
    reason="runAsUser=0",
    since=35,
    before=(Revision(23, _everywhere, "leaves pods with hostUsers: false alone"),),
    check=check,
)
