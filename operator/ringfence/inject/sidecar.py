"""The sidecar: an init container that goes on (KEP-753), its volumes, and nothing else. Pure.

All fields are written that API servers would fill in, so that what was made and what is found can be compared field by
field. It satisfies the ``restricted`` Pod Security Standard by its own securityContext, whatever the pod's says.
"""

from typing import Any, Final

from ringfence.inject import bootstrap
from ringfence.inject.injection import Injection
from ringfence.model import names, proxy

#: In Envoy's own images and in ours.
PROGRAM: Final = "/usr/local/bin/envoy"
#: Where the ServiceAccount admission plugin mounts the pod's API token, unless something is there already.
API_TOKEN_MOUNT: Final = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 (a path)
#: Seconds for which a pod waits for its redirect and its certificate, at one look a second: half a day.
STARTUP_SECONDS: Final = 43_200

#: Decided by others too, with good reason, and no part of what protects: LimitRanges and autoscalers (resources), the
#: plugin AlwaysPullImages, defaults of the cluster.
FREE: Final = frozenset(
    {"imagePullPolicy", "resizePolicy", "resources", "terminationMessagePath", "terminationMessagePolicy"}
)


def container(how: Injection, uid: int, gid: int = 0) -> dict[str, Any]:
    """The container; ``uid`` is the user that it runs as, ``gid`` the group (0: the number of the user)."""
    settings = how.settings
    return {
        "name": proxy.CONTAINER,
        "image": settings.image,
        "imagePullPolicy": settings.pull_policy,
        "restartPolicy": "Always",
        "command": [PROGRAM],
        "args": _arguments(how),
        "env": [_field("POD_NAME", "name"), _field("POD_NAMESPACE", "namespace"), _field("POD_UID", "uid")],
        "resources": {"requests": dict(settings.requests), "limits": dict(settings.limits)},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "runAsGroup": gid or uid,
            "runAsNonRoot": True,
            "runAsUser": uid,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        # It passes only once the redirect leads this port to the proxy: no redirect, no program.
        "startupProbe": _probe(proxy.GATE_PORT, period=1, failures=STARTUP_SECONDS),
        "readinessProbe": _probe(proxy.STATUS_PORT, period=5, failures=3),
        "volumeMounts": [
            {"name": proxy.VOLUME, "mountPath": proxy.MOUNT, "readOnly": True},
            {"name": proxy.RUN_VOLUME, "mountPath": proxy.RUN_MOUNT},
            # Something is there, so no token for the API server gets in.
            {"name": proxy.RUN_VOLUME, "mountPath": API_TOKEN_MOUNT, "readOnly": True, "subPath": "no-token"},
        ],
    }


def volumes() -> list[dict[str, Any]]:
    """Its volumes: what the kubelet renews for it, and a place in memory for the socket of its admin interface."""
    token = {"audience": proxy.AUDIENCE, "expirationSeconds": proxy.TOKEN_SECONDS, "path": "token"}
    items = [{"key": key, "path": path} for key, path in proxy.BUNDLE_FILES]
    sources = [{"serviceAccountToken": token}, {"configMap": {"name": names.TRUST_BUNDLE, "items": items}}]
    return [
        {"name": proxy.VOLUME, "projected": {"defaultMode": 0o644, "sources": sources}},
        {"name": proxy.RUN_VOLUME, "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
    ]


def _arguments(how: Injection) -> list[str]:
    settings = how.settings
    return [
        "--config-yaml",
        bootstrap.text(how),
        "--concurrency",
        str(settings.concurrency),
        "--disable-hot-restart",
        "--drain-time-s",
        str(settings.drain_seconds),
        "--drain-strategy",
        "immediate",
        "--log-level",
        settings.log_level,
        # Else it warns, for every network of every change, that the protocol's files for addresses are not final.
        "--component-log-level",
        "misc:error",
    ]


def _field(name: str, of: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": f"metadata.{of}"}}}


def _probe(port: int, *, period: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": "/ready", "port": port, "scheme": "HTTP"},
        "timeoutSeconds": 3,
        "periodSeconds": period,
        "successThreshold": 1,
        "failureThreshold": failures,
    }
