"""Talks to a program that answers a line of JSON with a line of JSON, so that thousands of questions cost little."""

import json
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self


class JudgeError(Exception):
    """The judge refused a request (the message names the field) or ended unexpectedly."""


class Conversation:
    """A program that runs within a ``with`` statement. Safe to share between threads."""

    def __init__(self, build: Callable[[], Path]) -> None:
        """Start nothing yet: the program is built and started on entry."""
        self._build = build
        self._lock = threading.Lock()
        self._requests = 0
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen([self._build()], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return self

    def __exit__(self, *_: object) -> None:
        process, self._process = self._process, None
        if process is None or process.stdin is None or process.stdout is None:
            return
        process.stdin.close()
        process.stdout.close()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _ask(self, op: str, **fields: Any) -> Any:
        """The program's result. Raises JudgeError."""
        with self._lock:
            process = self._process
            if process is None or process.stdin is None or process.stdout is None:
                raise JudgeError("the judge is not running: use it in a with statement")
            self._requests += 1
            request = {"id": self._requests, "op": op, **fields}
            try:
                process.stdin.write(json.dumps(request, separators=(",", ":")).encode() + b"\n")
                process.stdin.flush()
            except BrokenPipeError as error:
                raise JudgeError(f"the judge ended with code {process.wait()}") from error
            line = process.stdout.readline()
            if not line:
                raise JudgeError(f"the judge ended with code {process.wait()}")
            answer = json.loads(line)
            if answer.get("id") != self._requests:
                raise JudgeError(f"the judge answered request {answer.get('id')}, not {self._requests}")
        if "error" in answer:
            raise JudgeError(answer["error"])
        return answer["result"]
