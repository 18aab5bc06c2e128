"""Moments as records write them."""

from datetime import UTC, datetime

from ringfence.flows.flow import BadLine


def seconds(text: str) -> float:
    """RFC 3339 as epoch seconds, 0 for an empty text; what is finer than a microsecond is left out.

    Raises BadLine.
    """
    if not text:
        return 0.0
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadLine(f"time {text[:40]!r} is no time: write it as 2027-01-31T12:00:00Z") from error
    if found.tzinfo is None:
        raise BadLine(f"time {text[:40]!r} has no zone: add Z for UTC")
    return found.timestamp()


def text(moment: float) -> str:
    """Epoch seconds as RFC 3339 in UTC, to the second; "" for 0."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else ""
