"""Logs for machines (one JSON object a line) or for people, with what must stay secret blotted out.

Redaction is a net below code that does not log secrets in the first place: it knows the shapes of tokens, keys and
credentials, and works on the finished line, so no formatting slips past it.
"""

import datetime
import json
import logging
import re
import sys
from typing import Any, Final, TextIO

REDACTED: Final = "[redacted]"

_SECRETS: Final = (
    # PEM private keys, also with their line breaks escaped.
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)", re.DOTALL),
    # JSON Web Tokens: three base64url parts, the first the header of a JSON object.
    re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"),
    # PEM in base64, as in the data of a Secret ("-----BEGIN").
    re.compile(r"\bLS0tLS1CRUdJTi[A-Za-z0-9+/=]{16,}"),
)
_NAMED: Final = (
    re.compile(r"(?i)(\bauthorization[\"']?\s*[:=]\s*[\"']?)(?:(?:bearer|basic)\s+)?[^\s\"',}]+"),
    re.compile(r"(?i)(\bbearer\s+)[A-Za-z0-9._~+/=-]{8,}"),
    re.compile(r"(?i)([\"']?\b(?:password|passwd|client[_-]?secret|api[_-]?key)[\"']?\s*[:=]\s*[\"']?)[^\s\"',}]+"),
)

#: Each pattern above needs one of these (in lower case), so a text of ASCII without any is left alone: looking for them
#: takes a tenth of the time. Beyond ASCII other letters may stand for theirs.
_HINTS: Final = ("private key", "eyj", "ls0tls1crudjti", "authorization", "bearer", "passw", "secret", "api")

#: What a LogRecord has by itself; everything else came in by ``extra``.
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def redact(text: str) -> str:
    """The text without tokens, keys and passwords."""
    if text.isascii() and not _hinted(text.lower()):
        return text
    for pattern in _SECRETS:
        text = pattern.sub(REDACTED, text)
    for pattern in _NAMED:
        text = pattern.sub(rf"\g<1>{REDACTED}", text)
    return text


def _hinted(lower: str) -> bool:
    for hint in _HINTS:  # noqa: SIM110 - asked for every field of every line; faster than any()
        if hint in lower:
            return True
    return False


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (RFC 3339, UTC), level, logger, message, then what ``extra`` brought."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        entry: dict[str, Any] = {
            "time": moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        for key, value in vars(record).items():
            if key not in _STANDARD and isinstance(value, str | int | float | bool | type(None)):
                entry[key] = redact(value) if isinstance(value, str) else value
        if record.exc_info:
            entry["exception"] = redact(self.formatException(record.exc_info))
        return json.dumps(entry, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """For people: time, level, logger, message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The line, and the traceback if there is one."""
        return redact(super().format(record))


def configure(level: str, format_: str, stream: TextIO | None = None) -> None:
    """Have everything that this process logs go to ``stream`` (default: standard error) in that form.

    ``level`` is debug, info, warning or error; ``format_`` json or text.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if format_ == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Libraries are chatty below warning, and their debug lines may hold request bodies.
    for name in ("kopf", "aiohttp", "kubernetes", "asyncio", "uvicorn"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    # Kopf calls each failed attempt of each watch an error; the caches say once that the API server is away.
    logging.getLogger("kopf._cogs.clients").setLevel(logging.CRITICAL)
    logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)
