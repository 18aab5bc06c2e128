"""The end of processes in pods by SIGKILL: what a crash is, with nothing handed over."""

from e2e.cluster import backend, command
from e2e.demo.client import Client, Object

# The runtime names the control group of a container by its ID, with every driver.
_KILL = """
for process in /proc/[0-9]*; do
  if grep -q "$1" "$process/cgroup" 2>/dev/null; then
    date +%s.%N
    kill -KILL "${process#/proc/}"
  fi
done
"""


def kill(cluster: backend.Cluster, admin: Client, pod: Object) -> list[float]:
    """Kills the processes of a pod's containers on its node; when each was (epoch seconds), none if none ran."""
    nodes = sorted(each["metadata"]["name"] for each in admin.get("nodes")["items"])
    entering = cluster.entering(nodes.index(pod["spec"]["nodeName"]) + 1)
    ended: list[float] = []
    for status in pod.get("status", {}).get("containerStatuses", []):
        container = status.get("containerID", "").rpartition("/")[2]
        if container:
            ended += map(float, command.run(*entering, "sh", "-eu", "-c", _KILL, "sh", container).split())
    return ended
