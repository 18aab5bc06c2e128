"""Which transport the pods of a policy demand of their callers."""

from collections.abc import Mapping

from ringfence.model.effective import EffectivePolicy
from ringfence.model.resources import MTLS, Kind, Mode, Transport
from ringfence.model.world import Workload, World
from ringfence.policy import ends
from ringfence.policy.notes import Notes
from ringfence.policy.subjects import subject_of


def transport_of(policy: EffectivePolicy, labels: Mapping[str, str]) -> MTLS:
    """The transport of the pods with these labels: the strictest that is wished, Strict where nobody says anything.

    What is not closed blocks nothing, so it takes whatever comes.
    """
    if not policy.closed:
        return MTLS.PERMISSIVE
    wishes = [wish.mtls for box, wish in policy.transport if box.matches(labels)] or [Transport().mtls]
    return max(wishes, key=list(MTLS).index)


def wished_by(world: World, pod: Workload, mtls: MTLS) -> tuple[tuple[str, str, str], ...]:
    """(kind, namespace, name) of the enforced policies that wish this transport of a pod, sorted."""
    own = (
        (Kind.SECURITY_POLICY, each, subject_of(each, world, Notes())) for each in world.policies.get(pod.namespace, ())
    )
    labels = ends.namespace_labels(world, pod.namespace)
    floors = (each for each in world.cluster_policies if each.namespace_selector.matches(labels))
    all_ = (
        *((kind, policy.meta, policy.spec) for kind, policy, subject in own if subject.matches(pod.labels)),
        *((Kind.CLUSTER_SECURITY_POLICY, policy.meta, policy.spec) for policy in floors),
    )
    return tuple(
        sorted(
            (kind.value, meta.namespace, meta.name)
            for kind, meta, spec in all_
            if spec.transport is not None and spec.transport.mtls is mtls and spec.mode is Mode.ENFORCE
        )
    )
