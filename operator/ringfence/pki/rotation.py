"""What the rotation of the root does next: one pure answer to what is stored and what is seen.

No step depends on the steps before it having been made by this process: a controller that dies anywhere finds the
phase in the Secret, looks at the world and gets the same answer. Nothing signs before everybody trusts it, and nothing
stops being trusted while somebody uses it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from ringfence.model.ca import CaState, Phase, RotationReason
from ringfence.pki import renewal
from ringfence.pki.template import MAX_TTL

#: Most names that a waiting step carries; the rest is a number in ``why``.
MAX_NAMED: Final = 10


class Request(StrEnum):
    """What the annotation on the CA's Secret asks for."""

    NONE = ""
    REQUESTED = "requested"
    COMPROMISED = "compromised"


class Action(StrEnum):
    """What to do now. Every action but WAIT and REISSUE is one conditional write of the CA's Secret."""

    WAIT = "Wait"
    PREPARE = "Prepare"
    """Make a new root and put it into the slot ``next``: ``slots.prepare``."""
    ACTIVATE = "Activate"
    """``slots.activate`` with ``Timing.leaves_until`` of now and of the leaves that are seen."""
    REISSUE = "Reissue"
    """The Secrets in ``waiting_for`` still have leaves of the previous root; their own reconciling re-issues them."""
    FORCE = "Force"
    """``slots.force``: the rotation under way stops waiting, because a compromise was reported meanwhile."""
    RETIRE = "Retire"
    """``slots.retire``."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Durations in seconds.

    ``propagation``: from when every object carries the bundle until every program has read it (kubelets refresh mounted
    Secrets within about a minute). ``reissue_within``: over which re-issuing is spread. ``longest_life``: the longest
    life that any leaf has been given. ``forced_patience``: how long a forced rotation waits for objects of Ringfence's
    own that cannot be written, before it leaves them behind.
    """

    propagation: int = 120
    reissue_within: int = 600
    longest_life: int = MAX_TTL
    forced_patience: int = 300

    def leaves_until(self, now: float, ends: Iterable[int] = ()) -> float:
        """When the last leaf of a root that stops signing ``now`` has ended, whether it is seen or not.

        ``ends`` are the ends of the leaves that are seen (``identity_secret.ends``): some may have been given longer
        lives than would be given today.
        """
        return max([now + self.longest_life, *ends])


@dataclass(frozen=True, slots=True)
class Observations:
    """What is seen of the world, as sorted names that people know (``Secret shop/payments-identity``).

    ``bundle_missing``: objects that should carry the whole bundle and do not. ``unacknowledged``: proxies that have not
    said that they use it. ``carried_since`` (epoch seconds): since when this process has seen both empty, None when
    they are not or that is not known yet. ``old_leaves``: what still uses a leaf of a root that is not current and has
    not ended (``identity_secret.uses_old_root``). ``clock_steady``: False for a while after the wall clock was set;
    nothing irreversible happens then.
    """

    request: Request = Request.NONE
    bundle_missing: tuple[str, ...] = ()
    unacknowledged: tuple[str, ...] = ()
    carried_since: float | None = None
    old_leaves: tuple[str, ...] = ()
    clock_steady: bool = True


@dataclass(frozen=True, slots=True)
class Step:
    """The answer. ``again_in`` are seconds after which to ask again (0: when something changes)."""

    action: Action
    why: str
    waiting_for: tuple[str, ...] = ()
    again_in: float = 0.0
    reason: RotationReason | None = None


def next_step(state: CaState, seen: Observations, now: float, timing: Timing) -> Step:
    """What to do ``now`` (epoch seconds)."""
    if state.phase is Phase.IDLE:
        return _idle(state, seen, now)
    forced = RotationReason.COMPROMISED
    if seen.request is Request.COMPROMISED and state.reason is not forced:
        # The Secret held the next key too: a root that was prepared before the compromise is worth nothing.
        if state.phase is Phase.PREPARED:
            return Step(Action.PREPARE, "a compromise was reported after the next root was prepared", reason=forced)
        return Step(Action.FORCE, "a compromise was reported: the previous root is not waited for", reason=forced)
    return (
        _prepared(state, seen, now, timing) if state.phase is Phase.PREPARED else _activated(state, seen, now, timing)
    )


def remaining_request(request: Request, action: Action) -> Request:
    """What of a request is left when an action has been done; stored by the same write as the action's result.

    Preparing answers every request. A rotation under way answers a plain one that came in the meantime, but never a
    report of a compromise: the root that signs now was in the Secret that leaked.
    """
    if action is Action.PREPARE:
        return Request.NONE
    if action in {Action.ACTIVATE, Action.RETIRE} and request is Request.REQUESTED:
        return Request.NONE
    return request


def describe(step: Step) -> str:
    """One sentence for a condition, with a few of those that are waited for."""
    if not step.waiting_for:
        return step.why
    more = len(step.waiting_for) - MAX_NAMED
    named = ", ".join(step.waiting_for[:MAX_NAMED])
    return f"{step.why}: {named}" + (f" and {more} more" if more > 0 else "")


def _idle(state: CaState, seen: Observations, now: float) -> Step:
    if seen.request is Request.COMPROMISED:
        return Step(Action.PREPARE, "a compromise of the CA was reported", reason=RotationReason.COMPROMISED)
    if seen.request is Request.REQUESTED:
        return Step(Action.PREPARE, "a rotation was requested", reason=RotationReason.REQUESTED)
    root = state.current.root
    due = renewal.rotate_at(root.not_before, root.not_after)
    if now < due:
        return Step(Action.WAIT, "the root is young enough", again_in=due - now)
    if not seen.clock_steady:
        return Step(Action.WAIT, "the root looks old, but the clock was set just now", again_in=60)
    return Step(Action.PREPARE, "two thirds of the root's life are over", reason=RotationReason.AGE)


def _prepared(state: CaState, seen: Observations, now: float, timing: Timing) -> Step:
    root = state.next.root if state.next else state.current.root
    if now >= renewal.rotate_at(root.not_before, root.not_after) and seen.clock_steady:
        return Step(Action.PREPARE, "the next root grew old before it could be activated", reason=state.reason)
    if now < root.not_before:
        return Step(Action.WAIT, "the next root is not valid yet by this clock", again_in=60)
    if state.reason is RotationReason.COMPROMISED:
        patience = state.since + timing.forced_patience - now
        wait = _not_everywhere(seen) if patience > 0 else None
        wait = wait and replace(wait, again_in=patience)
    else:
        wait = _not_everywhere(seen) or _not_long_enough(state, seen, now, timing)
    return wait or Step(Action.ACTIVATE, "everybody trusts the next root", reason=state.reason)


def _not_everywhere(seen: Observations) -> Step | None:
    if seen.bundle_missing:
        return Step(Action.WAIT, "the new bundle has not reached every object", seen.bundle_missing)
    if seen.unacknowledged:
        return Step(Action.WAIT, "proxies have not acknowledged the new bundle", seen.unacknowledged)
    if seen.carried_since is None:
        return Step(Action.WAIT, "not everything has been looked at yet")
    return None


def _not_long_enough(state: CaState, seen: Observations, now: float, timing: Timing) -> Step | None:
    if not seen.clock_steady:
        return Step(Action.WAIT, "the clock was set just now", again_in=60)
    carried = max(seen.carried_since or now, state.since)
    # Beyond a whole propagation the moment lies in the future of this clock: it was set back meanwhile.
    left = min(carried + timing.propagation - now, timing.propagation)
    return Step(Action.WAIT, "programs get time to read the new bundle", again_in=left) if left > 0 else None


def _activated(state: CaState, seen: Observations, now: float, timing: Timing) -> Step:
    forced = state.reason is RotationReason.COMPROMISED
    patience = state.since + timing.forced_patience - now
    if seen.old_leaves and not (forced and patience <= 0):
        again = patience if forced else 0.0
        return Step(Action.REISSUE, "certificates of the previous root are still in use", seen.old_leaves, again)
    if forced:
        return Step(Action.RETIRE, "the previous root may be in strange hands", reason=state.reason)
    left = (state.previous.leaves_until if state.previous else now) - now
    if left > 0:
        return Step(Action.WAIT, "the last certificate of the previous root has not ended", again_in=left)
    if not seen.clock_steady:
        return Step(Action.WAIT, "the previous root looks unused, but the clock was set just now", again_in=60)
    return Step(Action.RETIRE, "nothing that the previous root signed is valid any more", reason=state.reason)
