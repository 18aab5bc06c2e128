"""Containers give up every capability; NET_BIND_SERVICE alone may come back.

Fields: securityContext.capabilities.drop (must hold ``ALL``) and .add (only ``NET_BIND_SERVICE``) of every container.
Windows has no capabilities, so pods for it are left alone since 1.25; the kubelet of a Linux node refuses them.
In force since 1.22.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from ringfence.controls.control import Control, Found, Revision, container, quoted
from ringfence.controls.pod import Subject
from ringfence.model.resources import PodSecurityLevel

ALLOWED: Final = frozenset({"NET_BIND_SERVICE"})


def check(subject: Subject) -> Iterable[Found]:
    return _everywhere(subject) if subject.linux else ()


def _everywhere(subject: Subject) -> Iterator[Found]:
    for field, each in subject.containers:
        capabilities = each.security_context.capabilities if each.security_context else None
        if capabilities is None or "ALL" not in (capabilities.drop or ()):
            yield Found(
                f"{field}.securityContext.capabilities.drop",
                f'does not hold "ALL" for {container(each.name)}',
                'set it to ["ALL"]',
            )
        refused = [name for name in (capabilities.add or ()) if name not in ALLOWED] if capabilities else ()
        if refused:
            yield Found(
                f"{field}.securityContext.capabilities.add",
                f"adds {quoted(refused)} to {container(each.name)}",
                'leave at most "NET_BIND_SERVICE"',
            )


CONTROL: Final = Control(
    id="capabilities-restricted",
    level=PodSecurityLevel.RESTRICTED,
    title="Containers drop ALL capabilities and add at most NET_BIND_SERVICE",
    kubernetes="capabilities_restricted",
    reason="unrestricted capabilities",
    check=check,
    supersedes="capabilities",
    since=25,
    before=(Revision(22, _everywhere, "leaves pods for Windows alone"),),
)
