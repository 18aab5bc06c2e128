"""The transitions of the CA's state, each a pure function that refuses what is not allowed.

Key states as NIST SP 800-57 part 1 §7 names them: a root in the slot ``next`` is pre-activation, the one in ``current``
active, and with activation of the next one the key of the current one is destroyed: it signs no more, so nobody needs
it. Its certificate stays trusted as ``previous`` until nothing that it signed is in use.
"""

from collections.abc import Sequence
from dataclasses import replace

from ringfence.model.ca import CaState, Phase, Previous, RotationReason, Slot
from ringfence.model.errors import RingfenceError


class TransitionRefused(RingfenceError):
    """A change of the CA's state that is not allowed now; the message says why."""


def first(trust_domain: str, slot: Slot, now: float) -> CaState:
    """The state of a new CA."""
    return CaState(trust_domain=trust_domain, phase=Phase.IDLE, since=int(now), current=slot)


def prepare(state: CaState, slot: Slot, now: float, reason: RotationReason) -> CaState:
    """Put a new root beside the current one, trusted but not signing.

    A root that is already prepared is replaced only when it ended unused or the Secret that held its key was
    compromised. Refused while the root before the current one is still trusted: three generations have no slot.
    """
    if state.phase is Phase.ACTIVATED:
        raise TransitionRefused("the previous root is still in use: it must be retired before the next is prepared")
    if state.next and reason is not RotationReason.COMPROMISED and not _ended(state.next, slot):
        raise TransitionRefused("a next root is prepared already")
    if slot.root in state.roots:
        raise TransitionRefused("the next root must be a new one")
    if slot.root.not_after <= max(now, state.current.root.not_before):
        raise TransitionRefused("the next root has ended already")
    return replace(state, phase=Phase.PREPARED, since=int(now), reason=reason, next=slot)


def _ended(prepared: Slot, new: Slot) -> bool:
    """Whether the prepared root is older than the new one by half of its life: it was not activated in time."""
    root = prepared.root
    return new.root.not_before - root.not_before > (root.not_after - root.not_before) / 2


def activate(state: CaState, now: float, leaves_until: float) -> CaState:
    """Let the next root sign; the key of the one before is gone with this.

    ``leaves_until`` (epoch seconds) is the end of the last leaf that the current root has signed.
    """
    if state.phase is not Phase.PREPARED or state.next is None:
        raise TransitionRefused("no next root is prepared")
    root = state.next.root
    if not root.not_before <= now < root.not_after:
        raise TransitionRefused("the next root is not valid now")
    return replace(
        state,
        phase=Phase.ACTIVATED,
        since=int(now),
        current=state.next,
        next=None,
        previous=Previous(state.current.root, int(min(leaves_until, state.current.root.not_after))),
    )


def force(state: CaState, now: float) -> CaState:
    """Turn a rotation whose next root signs already into a forced one: its previous root is retired without waiting."""
    if state.phase is not Phase.ACTIVATED:
        raise TransitionRefused("no previous root is waiting to be retired")
    return replace(state, since=int(now), reason=RotationReason.COMPROMISED)


def retire(state: CaState, now: float, needed_by: Sequence[str] = ()) -> CaState:
    """Stop trusting the previous root.

    ``needed_by`` names the Secrets and proxies that still use a leaf of it. Refused while there are any, or while a
    leaf may still be valid; a rotation after a compromise does not wait, since that trust is what must end.
    """
    if state.phase is not Phase.ACTIVATED or state.previous is None:
        raise TransitionRefused("no previous root is waiting to be retired")
    if state.reason is not RotationReason.COMPROMISED:
        if needed_by:
            raise TransitionRefused(f"the previous root is still needed by {', '.join(sorted(needed_by)[:5])}")
        if now < state.previous.leaves_until:
            raise TransitionRefused("leaves of the previous root may still be valid")
    return replace(state, phase=Phase.IDLE, since=int(now), reason=None, previous=None)
