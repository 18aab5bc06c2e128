"""Pods get their proxy: the webhook's way to inject, with the dice."""

import secrets
from dataclasses import dataclass
from typing import Any

from ringfence.controls import evaluate, pod
from ringfence.controls.pod import Pod
from ringfence.inject import pods
from ringfence.inject.injection import Injection
from ringfence.model.ports import Object
from ringfence.model.world import Enrolment
from ringfence.webhook.wire import AnyRequest


@dataclass(frozen=True, slots=True)
class Injected:
    """The operations that give a new pod its proxy, the pod after them, and that with all of its fields (None where no
    proxy is given).
    """

    operations: tuple[dict[str, Any], ...]
    pod: Pod
    whole: Object | None = None


def injected(request: AnyRequest, new: Pod, how: Injection | None, enrolment: Enrolment) -> Injected:
    """What the proxy of a new pod takes.

    The user id is drawn each time that this is asked, the second time for one pod too.
    """
    if how is None or enrolment is Enrolment.NONE or pod.is_mirror(new):
        return Injected((), new)
    before = request.whole_pods()[0]
    after = evaluate.with_proxy(before, how, enrolment, secrets.randbits(64))
    return Injected(tuple(pods.operations(before, after)), pod.of(after), after)
