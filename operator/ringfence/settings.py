"""What the platform team has set, read from the file that the chart writes.

A setting that cannot be understood stops the start with every mistake at once: a process that guesses its trust domain
or its pod ranges would be open in ways that nobody asked for.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ringfence import settings_proxy, settings_reader
from ringfence.inject.injection import Injection
from ringfence.model import names
from ringfence.model.certificates import KeyAlgorithm
from ringfence.model.errors import FieldError, RingfenceError
from ringfence.model.proxy_settings import ProxySettings
from ringfence.model.world import Enrolment, Installation, OpenService
from ringfence.settings_reader import Reader

DEFAULT_PATH: Final = Path("/etc/ringfence/config.yaml")
DEFAULT_NAMESPACE: Final = "ringfence-system"
#: Kubernetes' own; Ringfence's is added.
ALWAYS_EXEMPT: Final = frozenset({"kube-system", "kube-public", "kube-node-lease"})

LOG_LEVELS: Final = ("debug", "info", "warning", "error")
LOG_FORMATS: Final = ("json", "text")

#: What the CA of the identities may sign with: fast ones.
CA_KEY_ALGORITHMS: Final = (KeyAlgorithm.ECDSA_P256.value, KeyAlgorithm.ECDSA_P384.value)

_REGISTRY = re.compile(r"([a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\])(:[0-9]{1,5})?")
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
        content = path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise InvalidSettings(str(path), [FieldError("file", reason, "give its path with --config")]) from error
    return parse(content, environment, source=str(path))


def parse(text: str | bytes, environment: Mapping[str, str] | None = None, *, source: str = "settings") -> Settings:
    """Settings from YAML and from the environment (POD_NAMESPACE, POD_NAME); raises InvalidSettings."""
    environment = os.environ if environment is None else environment
    document = settings_reader.document(text.encode() if isinstance(text, str) else text)
    if isinstance(document, FieldError):
        raise InvalidSettings(source, [document])
    reader = Reader(document)
    namespace = environment.get("POD_NAMESPACE", DEFAULT_NAMESPACE)
    if not names.is_dns_label(namespace):
        reader.wrong("POD_NAMESPACE", f"{namespace!r} is no name of a namespace", "set it from metadata.namespace")
    settings = _settings(reader, namespace, environment.get("POD_NAME", "ringfence"))
    reader.refuse_unknown()
    if reader.errors:
        raise InvalidSettings(source, reader.errors)
    return settings


def _settings(reader: Reader, namespace: str, pod_name: str) -> Settings:
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


def _open_services(reader: Reader) -> tuple[OpenService, ...]:
    if not reader.has("openServices"):
        return Installation().open_services
    return tuple(reader.open_service(path, each) for path, each in reader.items("openServices"))


def _ca(reader: Reader) -> CaSettings:
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


def _signatures(reader: Reader) -> SignatureSettings:
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


def _registry(section: Reader, path: str, value: Any) -> RegistrySetting:
    entry = section.section(path, value, {"host", "private", "plainHTTP"})
    host = entry.text("host", "")
    if not _REGISTRY.fullmatch(host):
        entry.wrong("host", f"{host!r} is no registry", "as registry.example or registry.example:5000, in lower case")
    return RegistrySetting(host, entry.flag("private", False), entry.flag("plainHTTP", False))
