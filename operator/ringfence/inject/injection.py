"""What a sidecar follows from beside the pod."""

from dataclasses import dataclass

from ringfence.model.proxy_settings import ProxySettings


@dataclass(frozen=True, slots=True)
class Injection:
    """How pods are injected: the platform's settings, and the ``namespace`` in which proxyd is to be found."""

    settings: ProxySettings
    namespace: str = "ringfence-system"
