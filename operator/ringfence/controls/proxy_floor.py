"""What every container beside a proxy must satisfy, whatever the Pod Security level: otherwise it could go past it.

Fields, of every container but the proxy: securityContext.allowPrivilegeEscalation (false), .privileged (not true),
.capabilities (``add`` has none of those that lead past the proxy, ``drop`` has ALL or each of them), .runAsUser (set,
or the image named by digest, since an image's user may be the proxy's; always set for ephemeral containers, and in pods
with users of their own, which are so few that one can be guessed);
spec.shareProcessNamespace (not true: the proxy's memory holds its key); spec.os.name (no proxy runs under Windows).
hostNetwork and hostPID are the control ``host-namespaces``'s, which holds in every enforced namespace.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from ringfence.controls.control import Found, container, quoted
from ringfence.controls.pod import Container, Subject
from ringfence.inject import floor
from ringfence.model import image_reference
from ringfence.model.verdict import Violation

_ENROLMENT: Final = "the enrolment of the namespace"
_DROPPED: Final = ", ".join(floor.FORBIDDEN)


@dataclass(frozen=True, slots=True)
class FloorControl:
    """One thing that containers beside a proxy must satisfy. ``id`` is stable: exceptions name it."""

    id: str
    title: str
    check: Callable[[Subject], Iterable[Found]]


def _escalation(subject: Subject) -> Iterator[Found]:
    for field, each in subject.containers:
        context = each.security_context
        if context is None or context.allow_privilege_escalation is not False:
            yield Found(
                f"{field}.securityContext.allowPrivilegeEscalation",
                f"is not false for {container(each.name)}, which has a proxy beside it",
                "set it to false",
            )
        if context is not None and context.privileged:
            yield Found(
                f"{field}.securityContext.privileged",
                f"is true for {container(each.name)}, which has a proxy beside it",
                "remove it or set it to false",
            )


def _capabilities(subject: Subject) -> Iterator[Found]:
    for field, each in subject.containers:
        own = each.security_context.capabilities if each.security_context else None
        added = [name for name in (own.add or () if own else ()) if _leads_past(name)]
        if added:
            yield Found(
                f"{field}.securityContext.capabilities.add",
                f"adds {quoted(added)} to {container(each.name)}, which leads past its proxy",
                "remove it",
            )
        dropped = set(own.drop or () if own else ())
        kept = [] if "ALL" in dropped else [name for name in floor.FORBIDDEN if name not in dropped]
        if kept and not added:
            yield Found(
                f"{field}.securityContext.capabilities.drop",
                f"leaves {quoted(kept)} to {container(each.name)}, which leads past its proxy",
                f"drop ALL, or {_DROPPED}",
            )


def _leads_past(name: str) -> bool:
    return floor.capability(name) in {*floor.FORBIDDEN, *floor.OWN_THE_NODE, "ALL"}


def _user(subject: Subject) -> Iterator[Found]:
    for field, each in subject.containers:
        if _says_user(subject, each):
            continue
        if field.startswith(f"{subject.prefix}spec.ephemeralContainers["):
            yield Found(
                f"{field}.securityContext.runAsUser",
                f"is not set for {container(each.name)}, whose image might run it as the user of the proxy",
                "set it (kubectl debug --custom=FILE takes a securityContext)",
            )
        elif subject.user_namespace:
            yield Found(
                f"{field}.securityContext.runAsUser",
                f"is not set for {container(each.name)} in a pod with users of its own (hostUsers: false): "
                "its image might run it as one of the few users that its proxy may have",
                "set runAsUser, of the container or of the pod",
            )
        elif not _has_digest(each.image or ""):
            yield Found(
                f"{field}.securityContext.runAsUser",
                f"is not set for {container(each.name)}, and its image is not named by digest: "
                "it might come to run it as the user of the proxy",
                "set runAsUser, of the container or of the pod, or write the image with its digest (name@sha256:…)",
            )


def _says_user(subject: Subject, each: Container) -> bool:
    own = each.security_context.run_as_user if each.security_context else None
    return own is not None or (subject.context is not None and subject.context.run_as_user is not None)


def _has_digest(image: str) -> bool:
    try:
        return bool(image_reference.parse(image).digest)
    except ValueError:
        return False


def _processes(subject: Subject) -> Iterator[Found]:
    if subject.spec.share_process_namespace:
        yield Found(
            f"{subject.prefix}spec.shareProcessNamespace",
            "is true, so that every container sees into the proxy",
            "remove it or set it to false",
        )


def _system(subject: Subject) -> Iterator[Found]:
    if not subject.linux:
        yield Found(f"{subject.prefix}spec.os.name", 'is "windows", where there is no proxy', "run it under Linux")


CAPABILITIES: Final = FloorControl(
    "proxy-capabilities", "Containers have no capability that leads past their proxy", _capabilities
)
ESCALATION: Final = FloorControl(
    "proxy-privilege-escalation", "Containers beside a proxy gain no privileges", _escalation
)
PROCESSES: Final = FloorControl(
    "proxy-shared-processes", "Containers do not share processes with their proxy", _processes
)
SYSTEM: Final = FloorControl("proxy-system", "Pods run under the system that proxies run under", _system)
USER: Final = FloorControl("proxy-explicit-user", "What user a container runs as is known before it runs", _user)

CONTROLS: Final = (CAPABILITIES, ESCALATION, PROCESSES, SYSTEM, USER)
IDS: Final = frozenset(control.id for control in CONTROLS)


def violations(subject: Subject, excepted: frozenset[str]) -> list[Violation]:
    """What the subject, without its proxy, breaks of the floor less what an exception takes away."""
    asked = CONTROLS if subject.linux else (SYSTEM,)
    return [
        _violation(control.id, each)
        for control in asked
        if control.id not in excepted
        for each in control.check(subject)
    ]


def changed_images(subject: Subject, before: Subject, excepted: frozenset[str]) -> list[Violation]:
    """Containers that come to run another image while only the image says as which user."""
    if USER.id in excepted:
        return []
    images = {field: each.image for field, each in before.containers}
    fix = "set runAsUser in the workload's template, or let its controller make new pods"
    return [
        _violation(
            USER.id,
            Found(f"{field}.image", f"changes for {container(each.name)}, which sets no runAsUser", fix),
        )
        for field, each in subject.containers
        if field in images and images[field] != each.image and not _says_user(subject, each)
    ]


def _violation(control: str, found: Found) -> Violation:
    return Violation(control, found.field, found.message, found.fix, _ENROLMENT)
