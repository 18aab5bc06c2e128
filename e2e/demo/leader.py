"""The controller that leads: which process it is, and its end by a crash, which hands nothing over."""

from e2e.cluster import backend, command
from e2e.demo import install
from e2e.demo.client import Client, until

TAKEN_OVER_WITHIN = 15.0

# The runtime names the control group of a container by its ID, with every driver.
_KILL = """
for process in /proc/[0-9]*; do
  if grep -q "$1" "$process/cgroup" 2>/dev/null; then kill -KILL "${process#/proc/}"; fi
done
"""


def holder(admin: Client) -> str:
    """The process that holds the Lease, "" for none: its pod, and what tells it from others of the pod."""
    lease = admin.get("lease", "ringfence-controller", f"--namespace={install.NAMESPACE}")
    return str(lease["spec"].get("holderIdentity") or "")


def pod_of(process: str) -> str:
    """The name of its pod."""
    return process.partition("_")[0]


def kill(cluster: backend.Cluster, admin: Client) -> str:
    """Kills the process that leads (SIGKILL, on its node), and returns it. Raises ClusterError when none leads."""
    until(lambda: bool(holder(admin)), "a controller leads")
    process = holder(admin)
    pod = admin.get("pod", pod_of(process), f"--namespace={install.NAMESPACE}")
    nodes = sorted(each["metadata"]["name"] for each in admin.get("nodes")["items"])
    container = pod["status"]["containerStatuses"][0]["containerID"].rpartition("/")[2]
    entering = cluster.entering(nodes.index(pod["spec"]["nodeName"]) + 1)
    command.run(*entering, "sh", "-eu", "-c", _KILL, "sh", container)
    return process


def wait_for_another(admin: Client, killed: str) -> float:
    """Returns the seconds until another process holds the Lease. Raises ClusterError after twice the time."""
    within = 2 * TAKEN_OVER_WITHIN
    return until(lambda: holder(admin) not in {"", killed}, "another controller leads", within, every=0.1)
