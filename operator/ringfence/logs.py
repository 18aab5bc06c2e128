"""The log of a process: one line for each thing that happened, as JSON for machines or as text for people."""

import json
import logging
import sys
import time
from typing import Any, Final

_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
#: What every LogRecord has; anything else came by ``extra``.
_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


def setup(level: str, format_: str) -> None:
    """Log to stderr from ``level`` (debug, info, warning, error) on, as ``json`` or ``text``; replaces what was set."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if format_ == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(_LEVELS[level])


def extras(record: logging.LogRecord) -> dict[str, Any]:
    """The fields that came by ``extra``; those of a mapping stand on their own."""
    found: dict[str, Any] = {}
    for key, value in record.__dict__.items():
        if key in _STANDARD:
            continue
        found.update(value if isinstance(value, dict) else {key: value})
    return found


class JsonFormatter(logging.Formatter):
    """One JSON object a line; control characters of whoever is quoted in it are escaped."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON: time, level, logger, message, then the extra fields."""
        line = {
            "time": _timestamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
        }
        for key, value in extras(record).items():
            line[key if key not in line else f"{key}_"] = value
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """For people: time, level, message, and the extra fields behind it."""

    def format(self, record: logging.LogRecord) -> str:
        """The record on one line, an exception below it."""
        fields = " ".join(f"{key}={json.dumps(value, default=str)}" for key, value in extras(record).items())
        text = f"{_timestamp(record.created)} {record.levelname:<7} {record.name}: {record.getMessage()}"
        text = f"{text} {fields}" if fields else text
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def _timestamp(created: float) -> str:
    """RFC 3339 in UTC with milliseconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(created)) + f".{int(created * 1000) % 1000:03d}Z"
