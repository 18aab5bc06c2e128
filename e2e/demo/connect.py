"""Real exchanges between pods, told apart by how they fail: a policy drops and a proxy cuts off, so a refusal is
something else. Connections alone say nothing where a proxy takes every one.
"""

import time
from enum import StrEnum

from e2e import exchange
from e2e.demo.client import Client
from e2e.demo.shop import Service

SECONDS = 2
"""How long an exchange may take. Pods of one machine answer in milliseconds; two seconds are a dropped packet."""

PATIENCE = 10.0
"""Seconds for which a refusal is tried again: kube-proxy hears of a pod that is ready a moment after everybody else."""


class Outcome(StrEnum):
    """What became of an exchange."""

    OPEN = "answered"
    DROPPED = "no answer"
    CUT = "cut off"
    REFUSED = "refused"
    NO_NAME = "name not found"
    BROKEN = "could not be tried"


_WORDS = {
    "TIMEOUT": Outcome.DROPPED,
    "CLOSED": Outcome.CUT,
    "DENIED": Outcome.CUT,
    "REFUSED": Outcome.REFUSED,
    "DNS": Outcome.NO_NAME,
}


def connect(client: Client, source: Service, address: str, protocol: str = "tcp") -> tuple[Outcome, str]:
    """Tries an exchange from a program's pod with host:port; what it said comes beside the outcome.

    ``protocol`` is ``tcp`` (HTTP is asked, any byte is an answer), ``tls`` (a handshake is one) or ``udp``.
    """
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
        *_command(protocol),
        address,
        timeout=SECONDS + 30,
    )
    return (Outcome.OPEN, "") if done.ok else (outcome_of(done.message), done.message)


def _command(protocol: str) -> tuple[str, ...]:
    if protocol == "udp":
        return ("/agnhost", "connect", f"--timeout={SECONDS}s", "--protocol=udp")
    return (exchange.PATH, f"-timeout={SECONDS}s", f"-tls={str(protocol == 'tls').lower()}")


def outcome_of(message: str) -> Outcome:
    """What the programs' words mean about an exchange that did not come about."""
    for word, outcome in _WORDS.items():
        if word in message.replace(":", " ").split():
            return outcome
    return Outcome.BROKEN
