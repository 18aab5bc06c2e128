"""The compiler of the proxies' configuration, as this process uses it."""

from collections.abc import Hashable
from typing import Final

from ringfence.model.mesh import Mesh
from ringfence.model.ports import Object
from ringfence.model.proxy import ProxyConfig
from ringfence.translate import envoy
from ringfence.translate.envoy.subject import Subject, Surroundings, of_pod, surroundings

#: Pods whose class is remembered; twice as many as there may be streams.
_MOST: Final = 10_000


class EnvoyCompiler:
    """An assembly.Compiler over translate.envoy.

    Every pass asks for the class of every proxy in the namespaces that have changed, in the event loop. So it is
    remembered as long as neither the very object of the pod nor what its class rests on is another.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], tuple[Object, Surroundings, Subject]] = {}

    def subject(self, pod: Object, mesh: Mesh) -> Hashable:
        """As the port says. ``pod`` must never be changed."""
        metadata = pod["metadata"]
        namespace: str = metadata.get("namespace", "")
        around = surroundings(namespace, mesh)
        place = (namespace, metadata["name"])
        held = self._known.get(place)
        if held is not None and held[0] is pod and held[1] == around:
            return held[2]
        if len(self._known) >= _MOST:
            self._known.clear()
        found = of_pod(pod, around)
        self._known[place] = (pod, around, found)
        return found

    def footing(self, subject: Hashable, mesh: Mesh) -> object:
        """As the port says."""
        return envoy.footing(_ours(subject), mesh)

    def configure(self, subject: Hashable, mesh: Mesh) -> ProxyConfig:
        """As the port says."""
        return envoy.configure(_ours(subject), mesh)


def _ours(subject: Hashable) -> Subject:
    if not isinstance(subject, Subject):
        raise TypeError("a subject of another compiler")
    return subject
