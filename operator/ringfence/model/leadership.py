"""Who of several equal processes may write: the rules of a lease, without I/O and with the time as an argument.

All times are seconds of the own process's monotonic clock. Nothing that another machine says about time is believed: a
holder counts as alive for as long as its Lease was seen to change (each change has a new version), and the own right
to write ends ``deadline`` seconds after the last successful renewal was *sent*. Whoever takes over has seen no change
for ``duration`` seconds, which began after that renewal reached the API server; so as long as the two clocks run alike
to within duration / deadline, there is never a moment in which two processes may write. ADR 0070 has the argument.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

#: A Lease that claims to last longer than this is believed for so many seconds only.
MAX_DURATION: Final = 60.0


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. A takeover after a kill comes at most ``duration`` + ``look`` + two requests after the last renewal.

    ``duration``: how long a holder that shows no sign of life is waited for. ``deadline``: how long after a renewal its
    holder may write; 1.2 times it must fit into ``duration``. ``renew``: between two renewals. ``look``: between two
    looks of a standby. ``retry``: after a request that failed. ``attempt``: the longest that one request may take.
    """

    duration: float = 13.0
    deadline: float = 10.0
    renew: float = 2.0
    look: float = 1.0
    retry: float = 0.5
    attempt: float = 3.0

    def __post_init__(self) -> None:
        """Raises ValueError for timings that do not keep two writers apart, or that one lost request would break."""
        if self.deadline * 1.2 > self.duration:
            raise ValueError(f"duration {self.duration} s is too close to the deadline of {self.deadline} s")
        if min(self.renew, self.look, self.retry, self.attempt) <= 0 or self.renew + self.attempt >= self.deadline:
            raise ValueError(f"a renewal every {self.renew} s leaves no second try before {self.deadline} s")


@dataclass(frozen=True, slots=True)
class Seen:
    """A Lease as the API server holds it: ``version`` "" means that there is none, ``holder`` "" that it is free.

    ``uid`` tells a Lease from one of the same name that was made after it had been deleted.
    """

    version: str
    holder: str
    duration: float = 0.0
    uid: str = ""


class Do(StrEnum):
    """The next request: read the Lease; write oneself into it, having found it free; say that one is still there."""

    LOOK = "look"
    CLAIM = "claim"
    RENEW = "renew"


@dataclass(frozen=True, slots=True)
class Step:
    """What to do next, and not before ``at``."""

    do: Do
    at: float


class Election:
    """One process's part in it. Whoever drives it asks for a ``step``, takes it, and tells what came of it."""

    def __init__(self, identity: str, timing: Timing | None = None) -> None:
        """``identity`` must be of this very process: another start of the same pod is another candidate."""
        if not identity:
            raise ValueError("a candidate without a name would look like nobody")
        self.identity = identity
        self.timing = timing or Timing()
        self.seen: Seen | None = None
        self._since = 0.0
        self._confirmed: float | None = None
        self._until: float | None = None
        self._uid = ""
        self._leads_from = float("-inf")
        self._due = float("-inf")

    @property
    def until(self) -> float | None:
        """When the right to write ends unless it is renewed; None while there is none. May lie in the past."""
        return self._until

    def leads(self, now: float) -> bool:
        """Whether this process may write at this moment."""
        return self._until is not None and now < self._until

    def step(self, now: float, *, fit: bool = True) -> Step:
        """The next request. One that is not ``fit`` to do the work claims nothing, but renews what it holds."""
        if self.seen is None or self._confirmed is None:
            return Step(Do.LOOK, self._due)
        if self.leads(now) or (self.seen.holder == self.identity and now < self._leads_from):
            return Step(Do.RENEW, self._due)
        free_at = self._free_at(self.seen)
        if not fit:
            return Step(Do.LOOK, self._due)
        if free_at > now:
            return Step(Do.LOOK, min(self._due, free_at))
        # Only on what has just been read: after a pause the world is looked at before it is written to.
        fresh = now - self._confirmed <= self.timing.look / 2
        return Step(Do.CLAIM, now) if fresh else Step(Do.LOOK, now)

    def looked(self, seen: Seen, received: float) -> None:
        """The Lease was read; ``received`` is when the answer was there (not when it was asked for)."""
        if self.seen is None or seen.version != self.seen.version:
            self._since = received
        self.seen = seen
        self._meet(seen, received)
        self._confirmed = received
        self._due = received + self.timing.look
        if seen.holder != self.identity:
            self._until = None
        elif self.leads(received):
            # The answer to an earlier renewal was lost: it counts only once one has been answered.
            self._due = received

    def held(self, seen: Seen, sent: float, received: float) -> None:
        """A claim or a renewal that was begun at ``sent`` has succeeded, and the Lease is as ``seen`` now."""
        self.seen = seen
        self._meet(seen, received)
        self._since = self._confirmed = received
        self._until = sent + self.timing.deadline if sent >= self._leads_from else None
        self._due = sent + self.timing.renew

    def refused(self, now: float) -> None:
        """The Lease is no longer as it was read: look again."""
        self._confirmed = None
        self._due = now if self.leads(now) else now + self.timing.retry

    def failed(self, now: float) -> None:
        """No answer, or none that says anything; the request may have been carried out all the same."""
        if not self.leads(now):
            self._confirmed = None
        self._due = now + self.timing.retry

    def resign(self) -> bool:
        """Give up the right to write, from now on; whether there is a Lease to be handed back."""
        led, self._until = self._until is not None, None
        self._confirmed = None
        return led and self.seen is not None and self.seen.holder == self.identity

    def _meet(self, seen: Seen, received: float) -> None:
        """A Lease that this process has made itself gives no rights yet.

        The one before it was deleted, perhaps under the hands of a holder that has not noticed; he is waited for.
        """
        if seen.uid != self._uid:
            self._uid = seen.uid
            made = seen.holder == self.identity
            self._leads_from = received + self.timing.duration if made else float("-inf")

    def _free_at(self, seen: Seen) -> float:
        if seen.holder in {"", self.identity}:
            return self._since
        return self._since + max(self.timing.duration, min(seen.duration, MAX_DURATION))
