"""What the platform team has set, read from the file that the chart writes.

A setting that cannot be understood stops the start with every mistake at once: a process that guesses its trust domain
or its pod ranges would be open in ways that nobody asked for.
"""

import ipaddress
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from ringfence import settings_proxy
from ringfence.inject.injection import Injection
from ringfence.model import durations, names
from ringfence.model.certificates import KeyAlgorithm
from ringfence.model.errors import FieldError, RingfenceError
from ringfence.model.proxy_settings import ProxySettings, Quantities
from ringfence.model.resources import Protocol
from ringfence.model.world import Enrolment, Installation, OpenService

DEFAULT_PATH: Final = Path("/etc/ringfence/config.yaml")
DEFAULT_NAMESPACE: Final = "ringfence-system"
#: Kubernetes' own; Ringfence's is added.
ALWAYS_EXEMPT: Final = frozenset({"kube-system", "kube-public", "kube-node-lease"})

LOG_LEVELS: Final = ("debug", "info", "warning", "error")
LOG_FORMATS: Final = ("json", "text")

#: What the CA of the identities may sign with: fast ones.
CA_KEY_ALGORITHMS: Final = (KeyAlgorithm.ECDSA_P256.value, KeyAlgorithm.ECDSA_P384.value)

_REGISTRY = re.compile(r"([a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\])(:[0-9]{1,5})?")
_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?")
_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}")


class InvalidSettings(RingfenceError):
    """Settings that cannot be used; ``errors`` names each key with what is wrong and how to mend it."""

    def __init__(self, source: str, errors: list[FieldError]) -> None:
        self.errors = tuple(sorted(errors))
        super().__init__(f"{source}: " + "; ".join(str(error) for error in self.errors))


@dataclass(frozen=True, slots=True)
class CaSettings:
    """The CA of the identities. Seconds.

    ``ttl`` is the life of a root, ``propagation`` how long programs get to read a new trust bundle before its root
    signs, ``reissue_within`` the time over which a new root's certificates are spread, ``max_ttl`` the longest life
    that any certificate gets, whatever its identity asks for.
    """

    key_algorithm: KeyAlgorithm = KeyAlgorithm.ECDSA_P256
    ttl: int = 8760 * 3600
    propagation: int = 120
    reissue_within: int = 600
    max_ttl: int = 24 * 3600


@dataclass(frozen=True, slots=True)
class RegistrySetting:
    """A registry (``host`` or ``host:port``) that may be at an address inside, or that speaks no TLS."""

    host: str
    private: bool = False
    plain_http: bool = False


@dataclass(frozen=True, slots=True)
class SignatureSettings:
    """How signatures of images are checked.

    ``trusted_root`` is a Sigstore trusted root (JSON) for keyless signatures, "" for none; ``ca`` are certificates
    (PEM) that registries' are checked against beside the system's.
    """

    trusted_root: str = ""
    registries: tuple[RegistrySetting, ...] = ()
    ca: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of one process. ``installation.api_server`` is empty when it is to be read from the cluster.

    ``policy_reports``: what is wrong with running pods is written into PolicyReports, where a cluster has that kind.
    ``http_port`` (0..65535, 0 any free one) serves /healthz, /readyz and /metrics on ``http_host``.
    """

    installation: Installation = field(default_factory=Installation)
    default_enroll: Enrolment = Enrolment.NONE
    exempt_namespaces: frozenset[str] = ALWAYS_EXEMPT | {DEFAULT_NAMESPACE}
    ca: CaSettings = CaSettings()
    policy_reports: bool = True
    signatures: SignatureSettings = SignatureSettings()
    proxy: ProxySettings = field(default_factory=ProxySettings)
    log_level: str = "info"
    log_format: str = "json"
    pod_name: str = "ringfence"
    http_host: str = ""
    http_port: int = 8081

    @property
    def injection(self) -> Injection | None:
        """How pods get their proxy, None where they get none."""
        return Injection(self.proxy, self.installation.namespace) if self.proxy.enabled else None


def load(path: Path = DEFAULT_PATH, environment: Mapping[str, str] | None = None) -> Settings:
    """Read the file; raises InvalidSettings, also when it is missing or is not YAML."""
    try:
        text = path.read_text()
    except OSError as error:
        reason = error.strerror or str(error)
        raise InvalidSettings(str(path), [FieldError("file", reason, "give its path with --config")]) from error
    return parse(text, environment, source=str(path))


def parse(text: str, environment: Mapping[str, str] | None = None, *, source: str = "settings") -> Settings:
    """Settings from YAML and from the environment (POD_NAMESPACE, POD_NAME); raises InvalidSettings."""
    environment = os.environ if environment is None else environment
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidSettings(source, [FieldError("file", f"is not YAML: {error}", "check its indentation")]) from error
    if document is None:
        document = {}
    if not isinstance(document, dict):
        raise InvalidSettings(source, [FieldError("file", "is not a mapping", "write `key: value` lines")])
    reader = _Reader(document)
    namespace = environment.get("POD_NAMESPACE", DEFAULT_NAMESPACE)
    if not names.is_dns_label(namespace):
        reader.wrong("POD_NAMESPACE", f"{namespace!r} is no name of a namespace", "set it from metadata.namespace")
    settings = _settings(reader, namespace, environment.get("POD_NAME", "ringfence"))
    reader.refuse_unknown()
    if reader.errors:
        raise InvalidSettings(source, reader.errors)
    return settings


def _settings(reader: "_Reader", namespace: str, pod_name: str) -> Settings:
    exempt = frozenset(reader.namespace(path, each) for path, each in reader.items("exemptNamespaces"))
    proxy = settings_proxy.read(reader)
    installation = Installation(
        exempt_namespaces=tuple(sorted(exempt)),
        proxies=proxy.enabled,
        tracing=proxy.tracing if proxy.enabled else None,
        trust_domain=reader.matching("trustDomain", "cluster.local", _TRUST_DOMAIN),
        namespace=namespace,
        pod_cidrs=tuple(reader.cidr(path, each) for path, each in reader.items("podCIDRs")),
        cidr_covers_pods=reader.flag("cidrCoversPods", False),
        api_server=tuple(reader.endpoint(path, each) for path, each in reader.items("apiServer")),
        host_open=settings_proxy.host_open(reader),
        host_closed=tuple(reader.cidr(path, each) for path, each in reader.items("hostClosedCIDRs")),
        jwks_hosts=settings_proxy.jwks_hosts(reader),
        open_services=_open_services(reader) + settings_proxy.opened(proxy, namespace),
    )
    return Settings(
        installation=installation,
        default_enroll=Enrolment(reader.one_of("defaultEnroll", "none", tuple(Enrolment))),
        exempt_namespaces=ALWAYS_EXEMPT | {namespace} | exempt,
        ca=_ca(reader),
        policy_reports=reader.flag("policyReports", True),
        signatures=_signatures(reader),
        proxy=proxy,
        log_level=reader.one_of("logLevel", "info", LOG_LEVELS),
        log_format=reader.one_of("logFormat", "json", LOG_FORMATS),
        pod_name=pod_name,
        http_host=reader.text("httpHost", ""),
        http_port=reader.number("httpPort", reader.document.get("httpPort", 8081), 0),
    )


def _open_services(reader: "_Reader") -> tuple[OpenService, ...]:
    if not reader.has("openServices"):
        return Installation().open_services
    return tuple(reader.open_service(path, each) for path, each in reader.items("openServices"))


def _ca(reader: "_Reader") -> CaSettings:
    default = CaSettings()
    document = reader.document["ca"] if reader.has("ca") else {}
    ca = reader.section("ca", document, {"keyAlgorithm", "ttl", "propagation", "reissueWithin", "maxTTL"})
    return CaSettings(
        key_algorithm=KeyAlgorithm(ca.one_of("keyAlgorithm", default.key_algorithm.value, CA_KEY_ALGORITHMS)),
        # A root must outlive what it signs by far: its successor is prepared when a third of its life is left.
        ttl=ca.duration("ttl", default.ttl, 7 * 24 * 3600, 10 * 8766 * 3600),
        propagation=ca.duration("propagation", default.propagation, 0, 3600),
        reissue_within=ca.duration("reissueWithin", default.reissue_within, 0, 24 * 3600),
        max_ttl=ca.duration("maxTTL", default.max_ttl, 600, 24 * 3600),
    )


def _signatures(reader: "_Reader") -> SignatureSettings:
    document = reader.document["signatures"] if reader.has("signatures") else {}
    section = reader.section("signatures", document, {"trustedRoot", "registries", "ca"})
    root, ca = section.text("trustedRoot", ""), section.text("ca", "")
    if root.strip() and not _is_trusted_root(root):
        section.wrong("trustedRoot", "is no Sigstore trusted root", "give the JSON of `cosign trusted-root create`")
    if ca.strip() and "-----BEGIN CERTIFICATE-----" not in ca:
        section.wrong("ca", "holds no certificate", "give certificates in PEM")
    registries = tuple(_registry(section, path, each) for path, each in section.items("registries"))
    return SignatureSettings(trusted_root=root.strip(), registries=registries, ca=ca)


def _is_trusted_root(text: str) -> bool:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return False
    kind = document.get("mediaType") if isinstance(document, dict) else None
    return isinstance(kind, str) and kind.startswith("application/vnd.dev.sigstore.trustedroot")


def _registry(section: "_Reader", path: str, value: Any) -> RegistrySetting:
    entry = section.section(path, value, {"host", "private", "plainHTTP"})
    host = entry.text("host", "")
    if not _REGISTRY.fullmatch(host):
        entry.wrong("host", f"{host!r} is no registry", "as registry.example or registry.example:5000, in lower case")
    return RegistrySetting(host, entry.flag("private", False), entry.flag("plainHTTP", False))


class _Reader:
    """Takes values out of the document and collects what is wrong with them; a wrong value reads as its default."""

    def __init__(self, document: dict[Any, Any], path: str = "", errors: list[FieldError] | None = None) -> None:
        self.document = document
        self.errors: list[FieldError] = [] if errors is None else errors
        self._path = path
        self._known: set[str] = set()

    def wrong(self, path: str, message: str, fix: str) -> None:
        self.errors.append(FieldError(f"{self._path}{path}", message, fix))

    def section(self, key: str, value: Any, keys: set[str]) -> "_Reader":
        """A reader of what is below ``key``, which knows these keys; its errors are the errors of this one."""
        return _Reader(self._mapping(key, value, keys), f"{self._path}{key}.", self.errors)

    def duration(self, key: str, default: int, least: int, most: int) -> int:
        """Seconds, written as 1h30m."""
        if not self.has(key):
            return default
        value = self.document[key]
        try:
            seconds = durations.parse(value if isinstance(value, str) else "")
        except ValueError:
            self.wrong(key, f"{value!r} is no duration", "hours, minutes and seconds in quotes, such as 1h30m")
            return default
        if not least <= seconds <= most:
            self.wrong(key, f"{value} is out of range", f"{durations.text(least)} to {durations.text(most)}")
            return default
        return seconds

    def has(self, key: str) -> bool:
        self._known.add(key)
        return self.document.get(key) is not None

    def refuse_unknown(self) -> None:
        for key in self.document:
            if key not in self._known:
                known = ", ".join(sorted(self._known))
                self.wrong(str(key), "no such setting", f"one of {known}")

    def text(self, key: str, default: str) -> str:
        value = self.document[key] if self.has(key) else default
        if not isinstance(value, str):
            self.wrong(key, f"{value!r} is no text", "write it in quotes")
            return default
        return value

    def matching(self, key: str, default: str, pattern: re.Pattern[str]) -> str:
        value = self.text(key, default)
        if not pattern.fullmatch(value):
            self.wrong(
                key, f"{value!r} is no trust domain", "lower-case letters, digits, '.', '-' and '_', at most 255"
            )
        return value

    def one_of(self, key: str, default: str, choices: tuple[str, ...]) -> str:
        value = self.text(key, default)
        if value not in choices:
            self.wrong(key, f"{value!r} is not known", f"one of {', '.join(choices)}")
            return default
        return value

    def flag(self, key: str, default: bool) -> bool:
        value = self.document[key] if self.has(key) else default
        if not isinstance(value, bool):
            self.wrong(key, f"{value!r} is neither true nor false", "write true or false without quotes")
            return default
        return value

    def number(self, path: str, value: Any, first: int = 1) -> int:
        self._known.add(path)
        if isinstance(value, bool) or not isinstance(value, int) or not first <= value <= 65535:
            self.wrong(path, f"{value!r} is no port", f"a number from {first} to 65535")
            return first
        return value

    def whole(self, key: str, default: int, least: int, most: int) -> int:
        """A whole number within bounds."""
        value = self.document[key] if self.has(key) else default
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            self.wrong(key, f"{value!r} is out of range", f"a whole number from {least} to {most}")
            return default
        return value

    def quantities(self, key: str, default: Quantities) -> Quantities:
        """Resources of a container, as Kubernetes writes quantities."""
        if not self.has(key):
            return default
        found = self._mapping(key, self.document[key], None)
        for name, value in found.items():
            if not _QUANTITY.fullmatch(str(value)):
                self.wrong(f"{key}.{name}", f"{value!r} is no quantity", "as 20m, 2 or 40Mi")
        return tuple(sorted((str(name), str(value)) for name, value in found.items()))

    def items(self, key: str) -> list[tuple[str, Any]]:
        """The entries of a list with their paths; a missing list is empty."""
        value = self.document[key] if self.has(key) else []
        if not isinstance(value, list):
            self.wrong(key, "is no list", "write each entry on a line of its own, after a dash")
            return []
        return [(f"{key}[{index}]", each) for index, each in enumerate(value)]

    def namespace(self, path: str, value: Any) -> str:
        if not isinstance(value, str) or not names.is_dns_label(value):
            self.wrong(path, f"{value!r} is no name of a namespace", "lower-case letters, digits and '-', at most 63")
        return str(value)

    def cidr(self, path: str, value: Any) -> str:
        try:
            return str(ipaddress.ip_network(value if isinstance(value, str) else ""))
        except ValueError:
            self.wrong(path, f"{value!r} is no CIDR", "as 10.244.0.0/16 or fd00::/48, with the host's bits zero")
            return "0.0.0.0/32"

    def endpoint(self, path: str, value: Any) -> tuple[str, int]:
        entry = self._mapping(path, value, {"address", "port"})
        address = str(entry.get("address", ""))
        try:
            address = str(ipaddress.ip_address(address))
        except ValueError:
            self.wrong(f"{path}.address", f"{address!r} is no IP address", "the address of an API server, no host name")
        return address, self.number(f"{path}.port", entry.get("port", 443))

    def open_service(self, path: str, value: Any) -> OpenService:
        entry = self._mapping(path, value, {"name", "namespace", "podLabels", "ports", "addresses"})
        name = self.namespace(f"{path}.name", entry.get("name"))
        labels = self._mapping(f"{path}.podLabels", entry.get("podLabels") or {}, None)
        addresses = self._list(f"{path}.addresses", entry.get("addresses"))
        if not labels and not addresses:
            self.wrong(path, "names no pods and no addresses", "set podLabels, or addresses")
        ports = [
            self._port(f"{path}.ports[{index}]", each)
            for index, each in enumerate(self._list(f"{path}.ports", entry.get("ports")))
        ]
        if not ports:
            self.wrong(f"{path}.ports", "is empty", "list the ports of the pods, as {protocol: UDP, port: 53}")
        return OpenService(
            name=name,
            namespace=self.namespace(f"{path}.namespace", entry.get("namespace")),
            pod_labels={str(key): str(each) for key, each in labels.items()},
            ports=tuple(ports),
            addresses=tuple(self.cidr(f"{path}.addresses[{index}]", each) for index, each in enumerate(addresses)),
        )

    def _port(self, path: str, value: Any) -> tuple[Protocol, int]:
        entry = self._mapping(path, value, {"protocol", "port"})
        protocol = entry.get("protocol", "TCP")
        if protocol not in set(Protocol):
            self.wrong(f"{path}.protocol", f"{protocol!r} is not known", f"one of {', '.join(Protocol)}")
            protocol = Protocol.TCP
        return Protocol(protocol), self.number(f"{path}.port", entry.get("port"))

    def _mapping(self, path: str, value: Any, keys: set[str] | None) -> dict[Any, Any]:
        if not isinstance(value, dict):
            self.wrong(path, f"{value!r} is no mapping", "write `key: value` lines")
            return {}
        for key in value:
            if keys is not None and key not in keys:
                self.wrong(f"{path}.{key}", "no such key", f"one of {', '.join(sorted(keys))}")
        return value

    def _list(self, path: str, value: Any) -> list[Any]:
        if value is None:
            return []
        if not isinstance(value, list):
            self.wrong(path, "is no list", "write each entry on a line of its own, after a dash")
            return []
        return value
