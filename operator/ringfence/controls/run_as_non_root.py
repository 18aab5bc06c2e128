"""The kubelet refuses to start what would run as root.

Fields: securityContext.runAsNonRoot must be true for the pod or for every container; a container's own value wins
over the pod's. Since 1.35 pods in a user namespace of their own (hostUsers false) are left alone.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from ringfence.controls.control import Control, Found, Revision, container
from ringfence.controls.pod import Subject
from ringfence.model.resources import PodSecurityLevel


def check(subject: Subject) -> Iterable[Found]:
    return _everywhere(subject) if not subject.user_namespace else ()


def _everywhere(subject: Subject) -> Iterator[Found]:
    pod = subject.context.run_as_non_root if subject.context else None
    if pod is False:
        yield Found(f"{subject.prefix}spec.securityContext.runAsNonRoot", "is false", "set it to true")
    for field, each in subject.containers:
        own = each.security_context.run_as_non_root if each.security_context else None
        if own is False or (own is None and pod is None):
            yield Found(
                f"{field}.securityContext.runAsNonRoot",
                f"is {'false' if own is False else 'set neither for the pod nor'} for {container(each.name)}",
                f"set {subject.prefix}spec.securityContext.runAsNonRoot to true",
            )


CONTROL: Final = Control(
    id="run-as-non-root",
    level=PodSecurityLevel.RESTRICTED,
    title="Containers must run as another user than root",
    kubernetes="runAsNonRoot",
    reason="runAsNonRoot != true",
    since=35,
    before=(Revision(0, _everywhere, "leaves pods with hostUsers: false alone"),),
    check=check,
)
