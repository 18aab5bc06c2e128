"""The part of the settings file that is about proxies."""

import re
from typing import Any, Final, Protocol

from ringfence.model import image_reference, resources
from ringfence.model.proxy import PROXYD_PORT, PROXYD_SERVICE
from ringfence.model.proxy_settings import OLDEST_ENVOY, ProxySettings, Quantities
from ringfence.model.world import OpenService

#: As Envoy names them.
LOG_LEVELS: Final = ("trace", "debug", "info", "warning", "error", "critical", "off")

_ENVOY_VERSION = re.compile(r"v?(\d{1,4})\.(\d{1,4})\.(\d{1,4})")


class Reader(Protocol):
    """What is used of the reader of settings."""

    document: dict[Any, Any]

    def has(self, key: str) -> bool: ...
    def wrong(self, path: str, message: str, fix: str) -> None: ...
    def section(self, key: str, value: Any, keys: set[str]) -> "Reader": ...
    def flag(self, key: str, default: bool) -> bool: ...
    def text(self, key: str, default: str) -> str: ...
    def one_of(self, key: str, default: str, choices: tuple[str, ...]) -> str: ...
    def whole(self, key: str, default: int, least: int, most: int) -> int: ...
    def duration(self, key: str, default: int, least: int, most: int) -> int: ...
    def quantities(self, key: str, default: Quantities) -> Quantities: ...


def opened(proxy: ProxySettings, namespace: str) -> tuple[OpenService, ...]:
    """What every enrolled pod may reach for its proxy's sake: the process that configures it, in Ringfence's own
    ``namespace``."""
    if not proxy.enabled:
        return ()
    labels = {"app.kubernetes.io/name": "ringfence", "app.kubernetes.io/component": "proxyd"}
    return (OpenService(PROXYD_SERVICE, namespace, labels, ((resources.Protocol.TCP, PROXYD_PORT),)),)


def read(reader: "Reader") -> ProxySettings:
    """The section ``proxy`` of the settings; what is wrong is told to ``reader``."""
    default = ProxySettings()
    document = reader.document["proxy"] if reader.has("proxy") else {}
    keys = {
        "enabled",
        "image",
        "pullPolicy",
        "requests",
        "limits",
        "concurrency",
        "drain",
        "logLevel",
        "ownAddressOnly",
    }
    section = reader.section("proxy", document, keys)
    return ProxySettings(
        enabled=section.flag("enabled", default.enabled),
        image=_image(section, default.image),
        pull_policy=section.one_of("pullPolicy", default.pull_policy, ("Always", "IfNotPresent", "Never")),
        requests=section.quantities("requests", default.requests),
        limits=section.quantities("limits", default.limits),
        concurrency=section.whole("concurrency", default.concurrency, 1, 64),
        drain_seconds=section.duration("drain", default.drain_seconds, 1, 600),
        log_level=section.one_of("logLevel", default.log_level, LOG_LEVELS),
        own_address_only=section.flag("ownAddressOnly", default.own_address_only),
    )


def _image(section: "Reader", default: str) -> str:
    value = section.text("image", default)
    try:
        found = image_reference.parse(value)
    except ValueError as error:
        section.wrong("image", f"{value!r} {error}", "name the proxy's image with its tag or digest")
        return default
    if not found.tag and not found.digest:
        section.wrong("image", f"{value!r} has no tag and no digest", "name the version of the proxy")
    version = _ENVOY_VERSION.search(found.tag)
    if version is not None and tuple(map(int, version.groups())) < OLDEST_ENVOY:
        oldest = ".".join(map(str, OLDEST_ENVOY))
        section.wrong("image", f"{value!r} is of an Envoy whose authorization can be passed by", f"{oldest} or later")
    return value
