"""gRPC: one long stream on which both sides speak in turns. Messages are bytes, so no code is generated."""

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

_METHOD = "/traffic.Echo/Both"
PATIENCE = 10.0


def serve(port: int) -> Any:
    """Serves in threads; the server, which ends when nobody holds it."""
    handler = grpc.stream_stream_rpc_method_handler(_both)
    server = grpc.server(ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("traffic.Echo", {"Both": handler})])
    server.add_insecure_port(f"[::]:{port}")
    server.start()
    return server


def _both(messages: Iterable[bytes], context: Any) -> Iterator[bytes]:
    count = 0
    for each in messages:
        count += 1
        yield each
    context.set_trailing_metadata((("count", str(count)),))


def ask(host: str, port: int, seconds: float) -> dict[str, Any]:
    """Speaks for so long, waiting for each message to come back: ``OK`` or the name of the status."""
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    with grpc.insecure_channel(address) as channel:
        talk = _Talk(seconds)
        call = channel.stream_stream(_METHOD)(talk.say(), timeout=seconds + PATIENCE)
        try:
            for each in call:
                talk.heard(each)
        except grpc.RpcError as error:
            return {"outcome": error.code().name, "echoed": talk.count, "details": error.details()}
        counted = dict(call.trailing_metadata()).get("count")
        return {"outcome": call.code().name, "echoed": talk.count, "counted": int(counted or 0)}


class _Talk:
    """Says the next word when the last has come back."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self.count = 0

    def say(self) -> Iterator[bytes]:
        """Words, until time is over."""
        said = 0
        while said == 0 or time.monotonic() < self._end:
            yield f"word {said}".encode()
            said += 1
            # The stream is cancelled when the call ends, so this ends with it.
            while self.count < said:
                time.sleep(0.01)
            time.sleep(0.1)

    def heard(self, word: bytes) -> None:
        """Counts a word. Raises ValueError when it is not the one that was said."""
        if word != f"word {self.count}".encode():
            raise ValueError(f"heard {word!r} in place of word {self.count}")
        self.count += 1
