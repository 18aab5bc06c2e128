"""What every reconciler acts with."""

from dataclasses import dataclass

from ringfence.model.ports import Applier, Clock, EventSink


@dataclass(frozen=True, slots=True)
class Means:
    """Writes, Events, and what time it is: here, and at the API server, where what others have written is concerned."""

    applier: Applier
    events: EventSink
    clock: Clock
    api_clock: Clock
