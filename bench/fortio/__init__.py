"""fortio, which calls at a fixed rate whatever the answers do, and an echo server for it to call."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from e2e.goprogram.build import Module

MODULE: Final = Module("fortio", Path(__file__).resolve().parent)
_RESOLUTION: Final = "0.00002"
_PERCENTILES: Final = (50.0, 99.0)


@dataclass(frozen=True, slots=True)
class Load:
    """How to call: ``rate`` requests a second on ``connections`` that stay open, 0 for as fast as answers come.

    ``seconds`` is how long, whole or not.
    """

    rate: int
    connections: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it: requests, answers a second, and the time to the answer in seconds."""

    requests: int
    rate: float
    p50: float
    p99: float


@dataclass(frozen=True, slots=True)
class Answers:
    """How many answers there were of each status, and the seconds that the calling took."""

    codes: dict[str, int]
    seconds: float


def program() -> Path:
    """Return the program. Raises BuildError or ClusterError."""
    return MODULE.build("fortio")


def server(fortio: Path, port: int) -> list[str]:
    """The command of an echo server on every address; nothing but that port is opened."""
    closed = [f"-{kind}-port=disabled" for kind in ("grpc", "redirect", "tcp", "udp")]
    return [str(fortio), "server", f"-http-port={port}", *closed, "-loglevel=error"]


def caller(fortio: Path, url: str, load: Load, headers: Mapping[str, str] | None = None) -> list[str]:
    """The command that calls with these headers, and writes what came of it to standard output."""
    shape = ["-nocatchup", "-uniform"] if load.rate else []
    percentiles = ",".join(str(each) for each in _PERCENTILES)
    return [
        *(str(fortio), "load", "-quiet", "-loglevel=error", "-json=-", f"-qps={load.rate}", f"-c={load.connections}"),
        *(f"-t={load.seconds}s", f"-r={_RESOLUTION}", f"-p={percentiles}", *shape),
        *(f"-H={name}: {value}" for name, value in (headers or {}).items()),
        url,
    ]


def result(output: str) -> Result:
    """What it wrote. Raises ValueError where a request failed: figures of failures say nothing."""
    found: dict[str, Any] = json.loads(output)
    codes: dict[str, int] = found["RetCodes"]
    if set(codes) != {"200"}:
        raise ValueError(f"answers other than 200: {codes}")
    return Result(codes["200"], found["ActualQPS"], *_seconds(found["DurationHistogram"]["Percentiles"]))


def answers(output: str) -> Answers:
    """What it wrote, where not every answer should be 200."""
    found: dict[str, Any] = json.loads(output)
    return Answers(found["RetCodes"], found["ActualDuration"] / 1e9)


def _seconds(percentiles: Sequence[dict[str, float]]) -> list[float]:
    by = {each["Percentile"]: each["Value"] for each in percentiles}
    return [by.get(each, math.nan) for each in _PERCENTILES]
