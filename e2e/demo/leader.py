"""The controller that leads: which process it is, and its end by a crash, which hands nothing over."""

from dataclasses import dataclass
from datetime import datetime

from e2e.cluster import backend
from e2e.cluster.errors import ClusterError
from e2e.demo import crash, install
from e2e.demo.client import Client, Object, until

TAKEN_OVER_WITHIN = 15.0


@dataclass(frozen=True, slots=True)
class Killed:
    """A process that led, and when it was ended (epoch seconds)."""

    process: str
    at: float


def kill(cluster: backend.Cluster, admin: Client) -> Killed:
    """Kills the process that leads (SIGKILL, on its node). Raises ClusterError when none leads."""
    until(lambda: bool(holder(_lease(admin))), "a controller leads")
    process = holder(_lease(admin))
    pod = admin.get("pod", pod_of(process), f"--namespace={install.NAMESPACE}")
    ended = crash.kill(cluster, admin, pod)
    if not ended:
        raise ClusterError(f"no process of {process} was found on its node")
    return Killed(process, ended[-1])


def wait_for_another(admin: Client, killed: Killed) -> float:
    """Returns when another process holds the Lease: the seconds that nobody led. The Lease says since when, so that a
    busy machine, on which kubectl takes a second, does not count. Raises ClusterError after twice the time.
    """
    until(lambda: holder(_lease(admin)) not in {"", killed.process}, "another controller leads", 2 * TAKEN_OVER_WITHIN)
    return acquired(_lease(admin)) - killed.at


def holder(lease: Object) -> str:
    """The process that holds the Lease, "" for none: its pod, and what tells it from others of the pod."""
    return str(lease["spec"].get("holderIdentity") or "")


def acquired(lease: Object) -> float:
    """Since when it does (epoch seconds)."""
    return datetime.fromisoformat(lease["spec"]["acquireTime"]).timestamp()


def pod_of(process: str) -> str:
    """The name of its pod."""
    return process.partition("_")[0]


def _lease(admin: Client) -> Object:
    return admin.get("lease", "ringfence-controller", f"--namespace={install.NAMESPACE}")
