"""The access log: one line of JSON on standard output for each request or connection, with the rule that decided.

What a program's callers are told says nothing of rules. Queries are left out: people put secrets into them.
"""

from collections.abc import Mapping
from typing import Any, Final

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.core.v3 import extension_pb2, substitution_format_string_pb2
from envoy.extensions.access_loggers.stream.v3 import stream_pb2
from envoy.extensions.formatter.cel.v3 import cel_pb2

from ringfence.translate.envoy import messages, names
from ringfence.translate.envoy.messages import Message

_COMMON: Final = {
    "time": "%START_TIME%",
    "source": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%",
    "destination": "%DOWNSTREAM_LOCAL_ADDRESS%",
    "peer": "%DOWNSTREAM_PEER_URI_SAN%",
    "tls": "%DOWNSTREAM_TLS_VERSION%",
    "upstream": "%UPSTREAM_HOST%",
    "upstreamPeer": "%UPSTREAM_PEER_URI_SAN%",
    "flags": "%RESPONSE_FLAGS%",
    "duration": "%DURATION%",
    "received": "%BYTES_RECEIVED%",
    "sent": "%BYTES_SENT%",
    "failure": "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%",
    "upstreamFailure": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
}
_OF_TLS: Final = frozenset({"peer", "tls", "failure"})
#: The name that a TLS connection shows, where the proxy looks.
SNI: Final = "%REQUESTED_SERVER_NAME%"
#: Names a decision to its caller and in the log: when the request came (nanoseconds), and on which connection.
DECISION: Final = "%START_TIME(%s%9f)%-%CONNECTION_ID%"
_HTTP: Final = {
    "method": "%REQUEST_HEADER(:METHOD)%",
    "host": "%REQUEST_HEADER(:AUTHORITY)%",
    # Of the request itself: by default Envoy takes it from a header that callers write (x-envoy-original-path).
    "path": "%PATH(NQ:PATH)%",
    "code": "%RESPONSE_CODE%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "policy": "%DYNAMIC_METADATA(envoy.filters.http.rbac)%",
}
#: Of requests that come in: their number, and the limits that have refused them, or would have in mode Audit.
_INBOUND: Final = {
    "decision": DECISION,
    "limit": f"%DYNAMIC_METADATA({names.LIMITS}:refused)%",
    "auditLimit": f"%DYNAMIC_METADATA({names.LIMITS}:would)%",
    "body": "%ROUTE_NAME%",
}
#: What understands %CEL(...)%.
_EXPRESSIONS: Final = messages.extension(extension_pb2.TypedExtensionConfig, "envoy.formatter.cel", cel_pb2.Cel())
_TCP: Final = {
    "details": "%CONNECTION_TERMINATION_DETAILS%",
    "policy": "%DYNAMIC_METADATA(envoy.filters.network.rbac)%",
}


def of_requests(direction: str, said: Mapping[str, Any] | None = None) -> Message:
    """The log of a chain that speaks HTTP; ``said`` is what is known of all its requests."""
    inbound = _INBOUND if direction == names.INBOUND else {}
    return _log({**_COMMON, **_HTTP, **inbound, "direction": direction, **(said or {})})


def of_connections(direction: str, said: Mapping[str, str] | None = None, *, plain: bool = False) -> Message:
    """The log of a chain that carries bytes; ``said`` is what is known of all its connections (the deciding rule).

    ``plain``: it ends no TLS. What Envoy then calls a failure is only that the TLS inspector has found none.
    """
    common = {key: value for key, value in _COMMON.items() if not (plain and key in _OF_TLS)}
    return _log({**common, **_TCP, "direction": direction, **(said or {})})


def _log(fields: Mapping[str, Any]) -> Message:
    form = substitution_format_string_pb2.SubstitutionFormatString(
        json_format=messages.struct(fields),
        omit_empty_values=True,
        formatters=[_EXPRESSIONS] if "tokens" in fields else [],
    )
    stdout = stream_pb2.StdoutAccessLog(log_format=form)
    return messages.extension(accesslog_pb2.AccessLog, "envoy.access_loggers.stdout", stdout)
