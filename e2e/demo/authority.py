"""What the identities' CA and the identities say of certificates, as people would ask."""

import json
from dataclasses import dataclass
from typing import Any

from e2e.cluster.errors import ClusterError
from e2e.demo import attempts
from e2e.demo.client import Client

IDLE, PREPARED, ACTIVATED = "Idle", "Prepared", "Activated"


@dataclass(frozen=True, slots=True)
class Authority:
    """The CA, by `ringfence ca status`."""

    phase: str
    roots: dict[str, str]
    """Role (current, next, previous) to SHA-256."""
    leaves_until: str
    """When the previous root goes at the earliest; empty while there is none."""

    @property
    def current(self) -> str:
        """SHA-256 of the root that signs."""
        return self.roots["current"]


def status(admin: Client) -> Authority:
    """Asks the live cluster. Raises ClusterError when the CA cannot be used or the command cannot tell."""
    done = attempts.ringfence(admin, "ca", "status", "--output=json")
    if done.code not in (0, 1) or not done.out:
        raise ClusterError(f"ringfence ca status ended with {done.code}: {done.message}")
    return parse(done.out)


def parse(answer: str) -> Authority:
    """Reads the command's JSON. Raises ClusterError when it is that of a CA that cannot be used."""
    said = json.loads(answer)
    if not said["usable"]:
        raise ClusterError(f"the CA cannot be used: {said['trouble']}")
    until = [each["leavesUntil"] for each in said["roots"] if "leavesUntil" in each]
    return Authority(
        phase=said["phase"],
        roots={each["role"]: each["fingerprint"] for each in said["roots"]},
        leaves_until=until[0] if until else "",
    )


def certificates(admin: Client, space: str) -> dict[str, dict[str, Any]]:
    """`status.certificate` of each identity of a namespace that has one, by name."""
    listed = admin.get("serviceidentities", f"--namespace={space}")["items"]
    found = {each["metadata"]["name"]: each.get("status", {}).get("certificate") for each in listed}
    return {name: certificate for name, certificate in found.items() if certificate}


def issuers(admin: Client, space: str) -> set[str]:
    """SHA-256 of the roots that the identities' certificates are of."""
    return {each["issuer"] for each in certificates(admin, space).values()}
