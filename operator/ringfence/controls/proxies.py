"""The proxy of a pod that is judged: whether it is there as it was made, and the pod without it.

What policies ask of pods they ask of the author's containers: the proxy is added after them, from another registry, and
is judged by being exactly what Ringfence adds. In an audited namespace nothing of the floor is filled in; pods are
judged there as they would come in if the namespace were enforced.
"""

import msgspec

from ringfence.controls import pod
from ringfence.controls.pod import Pod, Subject
from ringfence.inject import check, pods, typed
from ringfence.inject.injection import Injection
from ringfence.model.ports import Object
from ringfence.model.verdict import Violation
from ringfence.model.world import Enrolment

#: What ``changed`` reports beside the ids of inject.check.
STARTED = "proxy-started"
IDS = check.IDS | {STARTED}


def subject(of: Pod, how: Injection | None, prefix: str = "") -> Subject:
    """A pod as its author wrote it; ``how`` None: there are no proxies."""
    if how is None:
        return Subject(of, prefix)
    return Subject(typed.without(of), prefix, proxied=not of.spec.host_network)


def running(of: Pod, how: Injection | None) -> Subject:
    """The same of a pod that runs: the floor is asked of those that have a proxy alone."""
    if how is None:
        return Subject(of)
    return Subject(typed.without(of), proxied=typed.sidecar(of) is not None)


def arriving(
    new: Pod, raw: Object | None, how: Injection | None, enrolment: Enrolment, prefix: str = ""
) -> tuple[Subject, list[Violation]]:
    """A new pod as it is to be judged, and what is wrong with its proxy. ``raw`` is the pod with all of its fields."""
    if how is None:
        return Subject(new, prefix), []
    if raw is None:
        found = [Violation(check.SIDECAR, f"{prefix}spec.initContainers", "cannot be told", "try again")]
        return subject(new, how, prefix), found
    if enrolment is Enrolment.AUDIT:
        filled = pod.of(pods.injected(raw, how, pods.users(raw.get("spec") or {})[0], fill=True))
        new = msgspec.structs.replace(filled, metadata=new.metadata)
    return subject(new, how, prefix), check.problems(raw, how, prefix)


def changed(new: Pod, old: Pod, raw: tuple[Object, Object] | None, how: Injection | None) -> list[Violation]:
    """What a change does to the proxy of a pod that has one; ``raw`` are the new and the old with all fields."""
    before = typed.sidecar(old)
    if how is None or before is None:
        return []
    after = typed.sidecar(new)
    found = []
    if after is None or after.image not in {before.image, how.settings.image}:
        field = "spec.initContainers[0].image"
        found.append(Violation(check.IMAGE, field, "changes, and is the proxy's", "leave it as it is"))
    if raw is None:
        found.append(Violation(check.NAMES, "spec", "cannot be told", "try again"))
    else:
        known = check.others(raw[1])
        found += [each for each in check.others(raw[0]) if each not in known]
    ephemeral = {each.name for each in old.spec.ephemeral_containers or ()}
    for index, each in enumerate(new.spec.ephemeral_containers or ()):
        if each.name not in ephemeral and not typed.started(old):
            field = f"spec.ephemeralContainers[{index}]"
            message = "comes before the pod's proxy has started, and could go past it"
            found.append(Violation(STARTED, field, message, "try again when the proxy is ready"))
    return found
