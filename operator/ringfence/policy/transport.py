"""Which transport the pods of a policy demand of their callers."""

from collections.abc import Mapping

from ringfence.model.effective import EffectivePolicy
from ringfence.model.resources import MTLS, Transport


def transport_of(policy: EffectivePolicy, labels: Mapping[str, str]) -> MTLS:
    """The transport of the pods with these labels: the strictest that is wished, Strict where nobody says anything.

    What is not closed blocks nothing, so it takes whatever comes.
    """
    if not policy.closed:
        return MTLS.PERMISSIVE
    wishes = [wish.mtls for box, wish in policy.transport if box.matches(labels)] or [Transport().mtls]
    return max(wishes, key=list(MTLS).index)
