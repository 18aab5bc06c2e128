"""Real connections between pods, told apart by how they fail: a policy drops, so a refusal is something else."""

import time
from enum import StrEnum

from e2e.demo.client import Client
from e2e.demo.shop import Service

SECONDS = 2
"""How long a connection may take. Pods of one machine connect in milliseconds; two seconds are a dropped packet."""

PATIENCE = 10.0
"""Seconds for which a refusal is tried again: kube-proxy hears of a pod that is ready a moment after everybody else."""


class Outcome(StrEnum):
    """What became of a connection."""

    OPEN = "connected"
    DROPPED = "no answer"
    REFUSED = "refused"
    NO_NAME = "name not found"
    BROKEN = "could not be tried"


def connect(client: Client, source: Service, address: str, protocol: str = "tcp") -> tuple[Outcome, str]:
    """Tries a connection from a program's pod to host:port; what it said comes beside the outcome."""
    deadline = time.monotonic() + PATIENCE
    while True:
        outcome, message = _once(client, source, address, protocol)
        if outcome is not Outcome.REFUSED or time.monotonic() > deadline:
            return outcome, message
        time.sleep(0.5)


def _once(client: Client, source: Service, address: str, protocol: str) -> tuple[Outcome, str]:
    done = client.attempt(
        "exec",
        f"--namespace={source.namespace}",
        f"deployment/{source.name}",
        "--container=http",
        "--",
        "/agnhost",
        "connect",
        f"--timeout={SECONDS}s",
        f"--protocol={protocol}",
        address,
        timeout=SECONDS + 30,
    )
    return (Outcome.OPEN, "") if done.ok else (outcome_of(done.message), done.message)


def outcome_of(message: str) -> Outcome:
    """What agnhost's words mean about a connection that did not come about."""
    for word, outcome in (("TIMEOUT", Outcome.DROPPED), ("REFUSED", Outcome.REFUSED), ("DNS", Outcome.NO_NAME)):
        if word in message.replace(":", " ").split():
            return outcome
    return Outcome.BROKEN
