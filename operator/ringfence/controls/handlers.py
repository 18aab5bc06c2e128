"""What the kubelet does for a container at its probes and hooks: one list for all controls."""

from collections.abc import Sequence

from ringfence.controls.pod import Container, Handler


def of(container: Container) -> Sequence[tuple[str, Handler]]:
    """The handlers of a container's probes and hooks, with the fields that they stand in."""
    # Asked for every container of every review, and most have few: no list of what is absent is made.
    found: list[tuple[str, Handler]] = []
    if container.liveness_probe is not None:
        found.append(("livenessProbe", container.liveness_probe))
    if container.readiness_probe is not None:
        found.append(("readinessProbe", container.readiness_probe))
    if container.startup_probe is not None:
        found.append(("startupProbe", container.startup_probe))
    if container.lifecycle is not None:
        if container.lifecycle.post_start is not None:
            found.append(("lifecycle.postStart", container.lifecycle.post_start))
        if container.lifecycle.pre_stop is not None:
            found.append(("lifecycle.preStop", container.lifecycle.pre_stop))
    return found
