"""The floor of every container beside a proxy, filled in where nothing is said. Pure.

Who has the proxy's user id, changes users or opens raw sockets can go past it, so none of that is left to a runtime's
defaults. What a container says itself is left for the controls to judge, since a value that is changed in silence would
be understood by nobody.
"""

from collections.abc import Mapping
from typing import Any, Final

#: Ways to the proxy's user id (SETUID, SETGID, SYS_ADMIN, SYS_PTRACE, BPF), and past its redirect (the other two).
FORBIDDEN: Final = ("BPF", "NET_ADMIN", "NET_RAW", "SETGID", "SETUID", "SYS_ADMIN", "SYS_PTRACE")

#: Ways into the node and so into every proxy on it, which no runtime gives unasked: modules of the kernel (SYS_MODULE),
#: its files by their handles, tokens of proxies among them (DAC_READ_SEARCH), its memory and devices (SYS_RAWIO), what
#: runs on it (PERFMON), its modules for security (MAC_ADMIN, MAC_OVERRIDE), its clock (SYS_TIME), another kernel
#: (SYS_BOOT).
OWN_THE_NODE: Final = (
    *("DAC_READ_SEARCH", "MAC_ADMIN", "MAC_OVERRIDE", "PERFMON"),
    *("SYS_BOOT", "SYS_MODULE", "SYS_RAWIO", "SYS_TIME"),
)


def capability(name: str) -> str:
    """A capability as it is called here, however a runtime lets one write it."""
    return name.upper().removeprefix("CAP_")


def filled(container: Mapping[str, Any]) -> dict[str, Any]:
    """The container with what is unset set; as it is when it asks for more anyway."""
    context = container.get("securityContext") or {}
    capabilities = context.get("capabilities") or {}
    added = {capability(str(each)) for each in capabilities.get("add") or ()}
    dropped = list(capabilities.get("drop") or ())
    made = dict(context)
    # API servers take `false` neither from the privileged nor from who adds SYS_ADMIN.
    if context.get("allowPrivilegeEscalation") is None and not context.get("privileged") and "SYS_ADMIN" not in added:
        made["allowPrivilegeEscalation"] = False
    missing = [] if "ALL" in dropped else [each for each in FORBIDDEN if each not in added and each not in dropped]
    if missing and "ALL" not in added and not context.get("privileged"):
        made["capabilities"] = {**capabilities, "drop": [*dropped, *missing]}
    return {**container, "securityContext": made} if made != context else dict(container)
