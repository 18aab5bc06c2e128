"""The part of the settings file that is about proxies."""

import ipaddress
import re
from typing import Final

from ringfence.model import hosts, image_reference, resources
from ringfence.model.net import IpSet
from ringfence.model.proxy import PROXYD_PORT, PROXYD_SERVICE
from ringfence.model.proxy_settings import OLDEST_ENVOY, ProxySettings, Tracing
from ringfence.model.world import OpenService
from ringfence.settings_reader import Reader

#: As Envoy names them.
LOG_LEVELS: Final = ("trace", "debug", "info", "warning", "error", "critical", "off")

#: What the collector of spans is called among what is always open.
TRACING_SERVICE: Final = "ringfence-tracing"
#: Name and namespace of a Service, as its pods' callers write them.
_SERVICE = re.compile(
    r"([a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?)\.([a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?)\.svc(?:\.[a-z0-9.-]{1,100})?"
)
_SAMPLING: Final = (0.0, 100.0)

_ENVOY_VERSION = re.compile(r"v?(\d{1,4})\.(\d{1,4})\.(\d{1,4})")


def host_open(reader: Reader) -> tuple[str, ...]:
    """Networks inside that names of hosts may lead to: never this host, link-local addresses or multicast."""
    found = []
    for path, each in reader.items("hostOpenCIDRs"):
        network = reader.cidr(path, each)
        if IpSet.of(network).minus_networks(hosts.NEVER).empty:
            fix = "loopback, link-local and multicast addresses are never called by name: leave it out"
            reader.wrong(path, f"{each!r} stays closed", fix)
        found.append(network)
    return tuple(found)


def jwks_hosts(reader: Reader) -> tuple[str, ...]:
    """Hosts from which proxies may fetch keys of issuers, sorted: names, or ``*.`` and a name for one label more."""
    found = set()
    for path, each in reader.items("jwksHosts"):
        if not isinstance(each, str) or not hosts.is_pattern(each):
            fix = "as login.corp.example or *.corp.example, in lower case, without a port and no address"
            reader.wrong(path, f"{each!r} is no name of a host", fix)
        found.add(str(each))
    return tuple(sorted(found))


def opened(proxy: ProxySettings, namespace: str) -> tuple[OpenService, ...]:
    """What every enrolled pod may reach for its proxy's sake: the process that configures it, in Ringfence's own
    ``namespace``, and the collector of spans."""
    if not proxy.enabled:
        return ()
    labels = {"app.kubernetes.io/name": "ringfence", "app.kubernetes.io/component": "proxyd"}
    proxyd = OpenService(PROXYD_SERVICE, namespace, labels, ((resources.Protocol.TCP, PROXYD_PORT),))
    return (proxyd,) if proxy.tracing is None else (proxyd, _collector(proxy.tracing))


def _collector(tracing: Tracing) -> OpenService:
    ports = ((resources.Protocol.TCP, tracing.pod_port),)
    service = _SERVICE.fullmatch(tracing.host)
    if service is None:
        return OpenService(TRACING_SERVICE, "", {}, ports, (str(ipaddress.ip_network(tracing.host)),))
    return OpenService(TRACING_SERVICE, service[2], dict(tracing.pod_labels), ports)


def read(reader: Reader) -> ProxySettings:
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
        "tracing",
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
        tracing=_tracing(section),
    )


def _tracing(proxy: Reader) -> Tracing | None:
    document = proxy.document["tracing"] if proxy.has("tracing") else {}
    section = proxy.section("tracing", document, {"address", "podLabels", "podPort", "sampling"})
    address = section.text("address", "")
    if not address:
        return None
    place = _host_and_port(address)
    if place is None:
        fix = "as collector.observability.svc:4317, or an IP address with its port"
        section.wrong("address", f"{address!r} is no address of a Service inside the cluster", fix)
        return None
    host, port = place
    pod_port = section.document.get("podPort") or port
    labels = section.document.get("podLabels") or {}
    if not isinstance(labels, dict) or not all(isinstance(each, str) for pair in labels.items() for each in pair):
        section.wrong("podLabels", f"{labels!r} are no labels", "write them as {app: collector}, values in quotes")
        labels = {}
    elif _SERVICE.fullmatch(host) and not labels:
        section.wrong("podLabels", "is empty", f"the labels of the pods behind {host}, to which the way is opened")
    elif labels and not _SERVICE.fullmatch(host):
        section.wrong("podLabels", "means nothing for an IP address", "leave it out")
    return Tracing(
        host=host,
        port=port,
        pod_labels=tuple(sorted(labels.items())),
        pod_port=section.number("podPort", pod_port),
        sampling=_share(section),
    )


def _host_and_port(address: str) -> tuple[str, int] | None:
    """Of ``host:port`` or ``[IPv6]:port``; the host is a Service or an IP address. None for anything else."""
    host, _, port = address.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        return None
    if _SERVICE.fullmatch(host):
        return host, int(port)
    if (":" in bare) != (bare != host):
        return None
    try:
        return str(ipaddress.ip_address(bare)), int(port)
    except ValueError:
        return None


def _share(section: Reader) -> float:
    value = section.document.get("sampling", 1)
    least, most = _SAMPLING
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        section.wrong("sampling", f"{value!r} is out of range", "per cent, 0 to 100, such as 1 or 0.5")
        return least
    return float(value)


def _image(section: Reader, default: str) -> str:
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
