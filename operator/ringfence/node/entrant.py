"""The child process that enters pods' network namespaces: ``python -m ringfence.node.entrant``, a socket as its stdin.

Each job is done by a process of its own, forked here, which ends in the namespace that it has entered: nothing has to
find its way back, and the process that knows the pods never leaves the node's network. A job is one message of JSON
with a descriptor to answer on and, for ``hold``, one of the network namespace:

    {"do": "reference", "rules": TEXT}                  -> {"listing": TEXT}: how nft tells these rules, from an empty
                                                           namespace made for that
    {"do": "hold", "rules": TEXT, "listing": TEXT}      -> {"did": "kept"|"loaded", "generation": N, "ipv6": BOOL} and a
                                                           descriptor that tells of changes to come
    either                                              -> {"error": TEXT}
"""

import array
import json
import os
import signal
import socket
import subprocess
import sys
from typing import Any, Final

from ringfence.model import proxy
from ringfence.node import kernel, rules

#: The longest that nft may take, in seconds; it takes some 10 ms.
NFT_SECONDS: Final = 10
MESSAGE_BYTES: Final = 1 << 16
#: How often the rules are read again while somebody else keeps changing them.
_ATTEMPTS: Final = 5


class JobFailed(Exception):
    """What could not be done in the namespace; the message says it to a person."""


def main() -> int:
    """Take jobs until the other end of the socket is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # sent to the whole group of a terminal; our end is the socket's
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children end unattended
    control = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, MESSAGE_BYTES, 2)
        if not message:
            return 0
        if os.fork() == 0:
            # Whatever happens there, it must not come back into this loop.
            try:
                control.close()
                _serve(message, descriptors)
            finally:
                os._exit(0)
        for each in descriptors:
            os.close(each)


def _serve(message: bytes, descriptors: list[int]) -> None:
    """Do one job and answer; in a process of its own."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    answer = socket.socket(fileno=descriptors[0])
    passed: list[socket.socket] = []
    try:
        job = json.loads(message)
        if job["do"] == "reference":
            reply = _reference(job["rules"])
        else:
            reply, listener = _hold(descriptors[1], job["rules"], job["listing"])
            passed.append(listener)
    except (OSError, JobFailed, subprocess.SubprocessError) as error:
        reply = {"error": getattr(error, "strerror", None) or str(error)}
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [each.fileno() for each in passed]))]
    answer.sendmsg([json.dumps(reply).encode()], rights if passed else [])


def _reference(text: str) -> dict[str, Any]:
    kernel.new_network()
    _load(text)
    return {"listing": _listing()}


def _hold(namespace: int, text: str, expected: str) -> tuple[dict[str, Any], socket.socket]:
    """Have exactly these rules in force; written only if they are not."""
    kernel.enter_network(namespace)
    # Before anything is read, so that no change falls between.
    listener = kernel.rules_changes()
    # First, since with the rules the pod's start goes on and its proxy may use it.
    ipv6 = _give_address()
    did = "kept"
    for _ in range(_ATTEMPTS):
        before = kernel.generation()
        found = _listing()
        if found == expected and kernel.generation() == before:
            return {"did": did, "generation": before, "ipv6": ipv6}, listener
        if found != expected:
            _load(text)
            did = "loaded"
    raise JobFailed("the rules do not stay as they are written: somebody else is writing there")


def _give_address() -> bool:
    """Whether the pod has IPv6; then the address from which its proxy calls its program is there."""
    try:
        kernel.add_to_loopback(proxy.INBOUND_SOURCE_V6)
    except OSError:
        # Off, so the proxy needs none. Were it not off, the proxy could not bind its address, and would let nothing in.
        return False
    return True


def _listing() -> str:
    """The table as nft tells it, without counts; "" where there is none."""
    done = _nft("--stateless", "list", "table", "inet", rules.TABLE)
    if done.returncode == 0:
        return done.stdout
    if "No such file or directory" in done.stderr:
        return ""
    raise JobFailed(f"nft cannot list: {done.stderr.strip()[:500]}")


def _load(text: str) -> None:
    done = _nft("--file", "-", text=text)
    if done.returncode != 0:
        raise JobFailed(f"nft refuses the rules: {done.stderr.strip()[:500]}")


def _nft(*arguments: str, text: str = "") -> "subprocess.CompletedProcess[str]":
    # Its messages are read, so they must be in English.
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    try:
        return subprocess.run(
            ["nft", *arguments],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=NFT_SECONDS,
            env=environment,
        )
    except FileNotFoundError as error:
        raise JobFailed("there is no nft program: install nftables") from error


if __name__ == "__main__":
    sys.exit(main())
