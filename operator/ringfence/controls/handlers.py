"""What the kubelet does for a container at its probes and hooks: one list for all controls."""

from collections.abc import Iterator

from ringfence.controls.pod import Container, Handler


def of(container: Container) -> Iterator[tuple[str, Handler]]:
    """The handlers of a container's probes and hooks, with the fields that they stand in."""
    lifecycle = container.lifecycle
    for field, handler in (
        ("livenessProbe", container.liveness_probe),
        ("readinessProbe", container.readiness_probe),
        ("startupProbe", container.startup_probe),
        ("lifecycle.postStart", lifecycle.post_start if lifecycle else None),
        ("lifecycle.preStop", lifecycle.pre_stop if lifecycle else None),
    ):
        if handler is not None:
            yield field, handler
