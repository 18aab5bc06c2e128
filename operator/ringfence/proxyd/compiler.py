"""The compiler of the proxies' configuration, as this process uses it."""

from collections.abc import Hashable

from ringfence.model.mesh import Mesh
from ringfence.model.ports import Object
from ringfence.model.proxy import ProxyConfig
from ringfence.translate import envoy


class EnvoyCompiler:
    """An assembly.Compiler over translate.envoy."""

    def subject(self, pod: Object, mesh: Mesh) -> Hashable:
        """As the port says."""
        return envoy.subject(pod, mesh)

    def configure(self, subject: Hashable, mesh: Mesh) -> ProxyConfig:
        """As the port says."""
        if not isinstance(subject, envoy.Subject):
            raise TypeError("a subject of another compiler")
        return envoy.configure(subject, mesh)
