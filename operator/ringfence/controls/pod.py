"""A pod as far as admission looks at it, decoded straight into typed values.

Decoding is what a review costs, so only the fields that a control reads are here and unknown ones are skipped; the
one place where an unknown field matters, the source of a volume, is kept as a mapping. A null is an absent field, as
it is for the API server.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final

import msgspec

#: What the API server can hold: larger numbers are refused there, so they are errors here too.
Id = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Port = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]


class Struct(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """Kubernetes' spelling outside, Python's inside."""


class Capabilities(Struct, frozen=True):
    add: list[str] | None = None
    drop: list[str] | None = None


class SELinuxOptions(Struct, frozen=True):
    type: str | None = None
    user: str | None = None
    role: str | None = None


class Profile(Struct, frozen=True):
    """A seccomp or AppArmor profile."""

    type: str | None = None


class WindowsOptions(Struct, frozen=True):
    host_process: bool | None = None


class SecurityContext(Struct, frozen=True):
    """Of a container."""

    privileged: bool | None = None
    allow_privilege_escalation: bool | None = None
    capabilities: Capabilities | None = None
    proc_mount: str | None = None
    run_as_non_root: bool | None = None
    run_as_user: Id | None = None
    read_only_root_filesystem: bool | None = None
    se_linux_options: SELinuxOptions | None = None
    seccomp_profile: Profile | None = None
    app_armor_profile: Profile | None = None
    windows_options: WindowsOptions | None = None


class Sysctl(Struct, frozen=True):
    name: str = ""
    value: str = ""


class PodSecurityContext(Struct, frozen=True):
    """Of the pod."""

    run_as_non_root: bool | None = None
    run_as_user: Id | None = None
    se_linux_options: SELinuxOptions | None = None
    seccomp_profile: Profile | None = None
    app_armor_profile: Profile | None = None
    windows_options: WindowsOptions | None = None
    sysctls: list[Sysctl] | None = None


class Header(Struct, frozen=True):
    """Of an HTTP request."""

    name: str = ""
    value: str = ""


class HostAction(Struct, frozen=True):
    """``httpGet`` or ``tcpSocket`` of a probe or a hook."""

    host: str | None = None
    http_headers: list[Header] | None = None


class ExecAction(Struct, frozen=True):
    """A program that the kubelet runs in a container."""

    command: list[str] | None = None


class Handler(Struct, frozen=True):
    """A probe or a lifecycle hook."""

    run: ExecAction | None = msgspec.field(default=None, name="exec")
    http_get: HostAction | None = None
    tcp_socket: HostAction | None = None


class Lifecycle(Struct, frozen=True):
    post_start: Handler | None = None
    pre_stop: Handler | None = None


class ContainerPort(Struct, frozen=True):
    container_port: Port | None = None
    host_port: Port | None = None


class SecretRef(Struct, frozen=True):
    """A Secret by its name."""

    name: str = ""


class ValueFrom(Struct, frozen=True):
    secret_key_ref: SecretRef | None = None


class EnvVar(Struct, frozen=True):
    name: str = ""
    value: str | None = None
    value_from: ValueFrom | None = None


class EnvFrom(Struct, frozen=True):
    secret_ref: SecretRef | None = None


class Resources(Struct, frozen=True):
    """Quantities by resource; the API server writes them as strings, people as numbers too."""

    limits: dict[str, str | int | float] | None = None
    requests: dict[str, str | int | float] | None = None


class Container(Struct, frozen=True):
    """A container of any kind."""

    name: str = ""
    image: str | None = None
    command: list[str] | None = None
    args: list[str] | None = None
    resources: Resources | None = None
    security_context: SecurityContext | None = None
    ports: list[ContainerPort] | None = None
    liveness_probe: Handler | None = None
    readiness_probe: Handler | None = None
    startup_probe: Handler | None = None
    lifecycle: Lifecycle | None = None
    env: list[EnvVar] | None = None
    env_from: list[EnvFrom] | None = None


class PodOS(Struct, frozen=True):
    name: str = ""


class HostAlias(Struct, frozen=True):
    """A line for the pod's /etc/hosts."""

    ip: str = ""
    hostnames: list[str] | None = None


class DNSConfig(Struct, frozen=True):
    """What is added to the pod's /etc/resolv.conf."""

    nameservers: list[str] | None = None


class PodSpec(Struct, frozen=True):
    containers: list[Container] | None = None
    init_containers: list[Container] | None = None
    ephemeral_containers: list[Container] | None = None
    #: Each volume by its fields, so that a source that nobody knew when this was written is seen.
    volumes: list[dict[str, msgspec.Raw]] | None = None
    security_context: PodSecurityContext | None = None
    service_account_name: str | None = None
    #: The former name of the field, which the API server still copies into the new one.
    service_account: str | None = None
    host_network: bool | None = None
    #: ``hostPID`` and ``hostIPC``: the camel case of msgspec would spell them otherwise.
    host_pid: bool | None = msgspec.field(default=None, name="hostPID")
    host_ipc: bool | None = msgspec.field(default=None, name="hostIPC")
    host_users: bool | None = None
    share_process_namespace: bool | None = None
    os: PodOS | None = None
    automount_service_account_token: bool | None = None
    host_aliases: list[HostAlias] | None = None
    dns_config: DNSConfig | None = None
    #: Of the pod as a whole.
    resources: Resources | None = None
    image_pull_secrets: list[SecretRef] | None = None


class Owner(Struct, frozen=True):
    """An object that a pod belongs to."""

    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool | None = None


class Meta(Struct, frozen=True):
    """Metadata of a pod or of a template."""

    name: str | None = None
    generate_name: str | None = None
    namespace: str | None = None
    uid: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    finalizers: list[str] | None = None
    deletion_timestamp: str | None = None
    owner_references: list[Owner] | None = None

    @property
    def shown_name(self) -> str:
        """The name, or the beginning that the API server will complete."""
        return self.name or (f"{self.generate_name}…" if self.generate_name else "(no name)")


class ContainerStatus(Struct, frozen=True):
    """How far a container is; ``started`` is true once its startup probe has passed."""

    name: str = ""
    started: bool | None = None


class PodStatus(Struct, frozen=True):
    """What a kubelet says of a pod."""

    init_container_statuses: list[ContainerStatus] | None = None


class Pod(Struct, frozen=True):
    metadata: Meta = Meta()
    spec: PodSpec = PodSpec()
    status: PodStatus | None = PodStatus()


#: Set by the kubelet on the image that it keeps in the API server of a static pod; nothing runs because of it.
MIRROR_ANNOTATION: Final = "kubernetes.io/config.mirror"
#: What Kubernetes takes when a pod names no ServiceAccount.
DEFAULT_SERVICE_ACCOUNT: Final = "default"

_decoder: Final = msgspec.json.Decoder(Pod)


def decode(data: bytes | msgspec.Raw) -> Pod:
    """Read a pod from JSON; raises msgspec.MsgspecError that names the field whose type is wrong."""
    return _decoder.decode(data)


def of(obj: Mapping[str, Any]) -> Pod:
    """The same from decoded JSON or YAML, by the same decoder, so that the command judges what the webhook judges."""
    return decode(msgspec.json.encode(obj))


def is_mirror(pod: Pod) -> bool:
    """Whether it says of itself that a kubelet runs it from a file."""
    return MIRROR_ANNOTATION in (pod.metadata.annotations or {})


def service_account(pod: Pod) -> str:
    """The ServiceAccount it runs under; "" for a static pod, which has none."""
    named = pod.spec.service_account_name or pod.spec.service_account
    return named or ("" if is_mirror(pod) else DEFAULT_SERVICE_ACCOUNT)


class Subject:
    """A pod with its containers of every kind in one list, and where in the object it stands.

    ``containers`` are (field, container), ``secured`` those that have a securityContext with it; ``prefix`` is the
    field of the pod template (``spec.template.`` for a Deployment), empty for a Pod. ``user_namespace`` says that the
    pod asks for users of its own, so that its root is nobody on the node; ``proxied`` that a proxy stands beside it,
    which is no part of it here.
    """

    __slots__ = ("containers", "context", "linux", "meta", "prefix", "proxied", "secured", "spec", "user_namespace")

    def __init__(self, pod: Pod, prefix: str = "", *, proxied: bool = False) -> None:
        self.proxied = proxied
        self.meta = pod.metadata
        self.spec = pod.spec
        self.prefix = prefix
        self.context = pod.spec.security_context
        self.linux = pod.spec.os is None or pod.spec.os.name != "windows"
        self.user_namespace = pod.spec.host_users is False
        self.containers = tuple(_containers(pod.spec, f"{prefix}spec."))
        self.secured: tuple[tuple[str, Container, SecurityContext], ...] = tuple(
            [
                (field, each, each.security_context)
                for field, each in self.containers
                if each.security_context is not None
            ]
        )


def _containers(spec: PodSpec, prefix: str) -> Iterator[tuple[str, Container]]:
    for kind, containers in (
        ("initContainers", spec.init_containers),
        ("containers", spec.containers),
        ("ephemeralContainers", spec.ephemeral_containers),
    ):
        if containers:
            for index, container in enumerate(containers):
                yield f"{prefix}{kind}[{index}]", container
