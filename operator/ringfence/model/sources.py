"""Conditions on the identity that calls: they choose among the callers of a rule before any call is made."""

from dataclasses import dataclass
from enum import StrEnum

from ringfence.model.requests import Asks


class SourceAttribute(StrEnum):
    """What a condition looks at: the identity's namespace, the zone of that, or a label of its ServiceIdentity."""

    NAMESPACE = "source.namespace"
    ZONE = "source.zone"
    LABEL = "source.labels"


@dataclass(frozen=True, slots=True, order=True)
class SourceCondition:
    """A condition on whoever calls; ``label`` is the name of the label, "" for the other attributes.

    ``test`` is never PREFIX, and of a namespace IN or NOT_IN; ``values`` are sorted.
    """

    attribute: SourceAttribute
    test: Asks
    values: tuple[str, ...] = ()
    label: str = ""
