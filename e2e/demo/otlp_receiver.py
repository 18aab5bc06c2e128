"""A small OpenTelemetry collector for tests: takes spans by OTLP over gRPC, writes each as a line of JSON.

otlp_receiver.py ADDRESS PORT [FILE]    says ``listening`` and then serves until it is ended; without FILE spans go to
                                        standard output
"""

import json
import sys
from concurrent import futures
from pathlib import Path
from typing import Any

import ringfence.proxyd  # noqa: F401 (tells gRPC how to speak TLS before it is there)
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

# isort: split
import grpc

METHOD = "opentelemetry.proto.collector.trace.v1.TraceService"
KINDS = {2: "server", 3: "client"}


class Collector:
    """Writes what comes."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def export(self, request: Any, context: grpc.ServicerContext) -> Any:
        """OTLP's one call."""
        del context
        lines = [
            json.dumps(_plain(span, dict(_values(part.resource.attributes))))
            for part in request.resource_spans
            # Called scope_spans today; the field's number is the same.
            for scope in part.instrumentation_library_spans
            for span in scope.spans
        ]
        text = "".join(f"{line}\n" for line in lines)
        if self._path is None:
            print(text, end="", flush=True)
        else:
            with self._path.open("a") as file:
                file.write(text)
        return trace_service_pb2.ExportTraceServiceResponse()


def _plain(span: Any, resource: dict[str, Any]) -> dict[str, Any]:
    return {
        "resource": resource,
        "trace": span.trace_id.hex(),
        "span": span.span_id.hex(),
        "parent": span.parent_span_id.hex(),
        "name": span.name,
        "kind": KINDS.get(span.kind, span.kind),
        "attributes": dict(_values(span.attributes)),
    }


def _values(attributes: Any) -> Any:
    return ((each.key, getattr(each.value, each.value.WhichOneof("value") or "string_value")) for each in attributes)


def main(address: str, port: str, path: str = "") -> None:
    """Serve."""
    server = grpc.server(futures.ThreadPoolExecutor(4))
    handler = grpc.unary_unary_rpc_method_handler(
        Collector(Path(path) if path else None).export,
        request_deserializer=trace_service_pb2.ExportTraceServiceRequest.FromString,
        response_serializer=trace_service_pb2.ExportTraceServiceResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(METHOD, {"Export": handler}),))
    server.add_insecure_port(f"{address}:{port}")
    server.start()
    print("listening", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main(*sys.argv[1:])
