"""Other policy engines beside Ringfence: whoever runs on this machine with the same policy is measured in the same run.

Kyverno and Gatekeeper need an installation of their own, so nothing here starts them: ``RINGFENCE_BENCH_PEERS`` names
those that run, ``NAME=PORT/PATH@PID`` each, with spaces between: ``kyverno=9443/validate/fail@4711``. They must admit
the good pod of ``reviews`` and refuse the bad one; an answer that is wrong ends the measurement.
"""

import os
import re
import shutil
import ssl
from collections.abc import Mapping
from typing import Final

from bench.servers import Running

VARIABLE: Final = "RINGFENCE_BENCH_PEERS"
KNOWN: Final = ("kyverno", "gatekeeper")
_ONE: Final = re.compile(r"(?P<name>[a-z0-9-]+)=(?P<port>\d{1,5})(?P<path>/[^@\s]*)@(?P<pid>\d+)")


def named(variables: Mapping[str, str] = os.environ) -> dict[str, Running]:
    """Those that run, by name. Raises ValueError for a text that does not say where."""
    context = ssl.create_default_context()
    # They are on this machine, under certificates of their own.
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    found = {}
    for text in variables.get(VARIABLE, "").split():
        match = _ONE.fullmatch(text)
        if match is None:
            raise ValueError(f"{VARIABLE}: {text!r} is not NAME=PORT/PATH@PID (kyverno=9443/validate/fail@4711)")
        found[match["name"]] = Running(int(match["port"]), int(match["pid"]), context, match["path"])
    return found


def absent(running: Mapping[str, Running]) -> dict[str, str]:
    """The known ones that are not measured, and why."""
    reasons = {}
    for name in KNOWN:
        if name not in running:
            program = shutil.which(name)
            reasons[name] = (
                f"{program} is there; start it and name it in {VARIABLE}" if program else "not found on PATH"
            )
    return reasons
