"""Talks to a program that answers a line of JSON with a line of JSON, so that thousands of questions cost little."""

import json
import subprocess
import threading
from pathlib import Path
from typing import Any


class JudgeError(Exception):
    """The judge refused a request (the message names the field) or ended unexpectedly."""


class Conversation:
    """A running program. Safe to share between threads."""

    def __init__(self, program: Path) -> None:
        """Start the program."""
        self._lock = threading.Lock()
        self._requests = 0
        self._process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def close(self) -> None:
        """End the program."""
        process = self._process
        if process.stdin is None or process.stdout is None:
            return
        process.stdin.close()
        process.stdout.close()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def ask(self, op: str, **fields: Any) -> Any:
        """Return the program's result. Raises JudgeError."""
        with self._lock:
            process = self._process
            if process.stdin is None or process.stdout is None:
                raise JudgeError("the judge is not running")
            self._requests += 1
            request = {"id": self._requests, "op": op, **fields}
            try:
                process.stdin.write(json.dumps(request, separators=(",", ":")).encode() + b"\n")
                process.stdin.flush()
            except (BrokenPipeError, ValueError) as error:
                raise JudgeError(f"the judge ended with code {process.poll()}") from error
            line = process.stdout.readline()
            if not line:
                raise JudgeError(f"the judge ended with code {process.wait()}")
            answer = json.loads(line)
            if answer.get("id") != self._requests:
                raise JudgeError(f"the judge answered request {answer.get('id')}, not {self._requests}")
        if "error" in answer:
            raise JudgeError(answer["error"])
        return answer["result"]
