"""Whether a pod that runs could go past what encloses it: asked of those that came in before that was refused.

An audited namespace refuses nothing of this, and an exception lets it in. When the namespace is enforced its pods stay,
so that "closed" would be said of what some of them can open.
"""

from typing import Final

import msgspec

from ringfence.controls import pod, proxy_floor, registry
from ringfence.controls.pod import Subject
from ringfence.inject import typed
from ringfence.model.ports import Object

_CLOSED: Final = tuple(control for control in registry.CONTROLS if control.id in registry.CLOSED)
_NOBODY: Final[frozenset[str]] = frozenset()


def has_one(obj: Object) -> bool:
    """Whether a whole Pod has what leads past its NetworkPolicies, or past the proxy that is in it; who has signed for
    that does not count. One that cannot be read may have it."""
    try:
        found = pod.of(obj)
    except msgspec.MsgspecError:
        return True
    subject = Subject(typed.without(found), proxied=typed.sidecar(found) is not None)
    if subject.proxied and proxy_floor.violations(subject, _NOBODY):
        return True
    return any(next(iter(control.check(subject)), None) is not None for control in _CLOSED)
