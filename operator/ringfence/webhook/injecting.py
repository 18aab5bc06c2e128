"""Pods get their proxy: the webhook's way to inject, with the dice."""

import secrets
from typing import Any

from ringfence.controls import evaluate, pod
from ringfence.controls.pod import Pod
from ringfence.inject import pods, typed
from ringfence.inject.injection import Injection
from ringfence.model.ports import Object
from ringfence.model.world import Enrolment
from ringfence.webhook.wire import AnyRequest


def injected(
    request: AnyRequest, new: Pod, how: Injection | None, enrolment: Enrolment
) -> tuple[list[dict[str, Any]], Object | None, Pod]:
    """The operations that give a new pod its proxy, and the pod after them, with all of its fields and as it is judged;
    None for all of its fields where it gets none.

    User and group are drawn each time that this is asked, the second time for one pod too.
    """
    if how is None or enrolment is Enrolment.NONE or pod.is_mirror(new):
        return [], None, new
    before = request.whole_pods()[0]
    after = evaluate.with_proxy(before, how, enrolment, secrets.randbits(128))
    return pods.operations(before, after), after, pod.of(after)


def debugged(request: AnyRequest, new: Pod, old: Pod) -> tuple[list[dict[str, Any]], Object, Pod]:
    """The same for a pod with a proxy that gets a debug container: what that leaves unset of the floor is filled in."""
    whole, before = request.whole_pods()
    if typed.sidecar(old) is None:
        return [], whole, new
    after = pods.debugged(whole, before)
    return pods.operations(whole, after), after, pod.of(after)
