"""/proc stays masked, in a user namespace too.

Fields: securityContext.procMount of every container. Allowed: absent, ``Default``. Until 1.34 the baseline control said
the same; since 1.35 that one leaves pods with hostUsers false alone, and this one does not.
"""

from typing import Final

from ringfence.controls import proc_mount
from ringfence.controls.control import Control
from ringfence.model.resources import PodSecurityLevel

CONTROL: Final = Control(
    id="proc-mount-restricted",
    level=PodSecurityLevel.RESTRICTED,
    title="/proc is masked as the runtime does it, in a user namespace too",
    check=proc_mount.unmasked,
    supersedes="proc-mount",
    kubernetes="procMount_restricted",
    reason="procMount",
    since=35,
)
