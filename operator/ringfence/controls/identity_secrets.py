"""The Secret with an identity's certificate and key is for pods of that identity only.

Whoever holds the key is the service, so a pod may use such a Secret only under the ServiceAccount that the identity
rests on. Which Secrets these are follows from their names alone: a pod that waits for one that does not exist yet is
refused as well. Fields: the Secrets of volumes of every kind, and of env and envFrom of containers of every kind.
imagePullSecrets are not among them: a kubelet takes nothing from those but registries' credentials.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from ringfence.controls.control import quoted
from ringfence.controls.pod import SecretRef, Struct, Subject
from ringfence.model.names import IDENTITY_SECRET_SUFFIX, identity_secret
from ringfence.model.verdict import Violation

CONTROL_ID: Final = "identity-secret"


#: The fields below the source of a volume that name a Secret, with the names.
Named = Iterator[tuple[str, str]]


class _ByName(Struct, frozen=True):
    secret_name: str | None = None

    def named(self) -> Named:
        if self.secret_name is not None:
            yield "secretName", self.secret_name


class _ByReference(Struct, frozen=True):
    secret_ref: SecretRef | None = None

    def named(self) -> Named:
        if self.secret_ref is not None:
            yield "secretRef.name", self.secret_ref.name


class _Source(Struct, frozen=True):
    secret: SecretRef | None = None


class _Projected(Struct, frozen=True):
    sources: list[_Source] | None = None

    def named(self) -> Named:
        for number, each in enumerate(self.sources or ()):
            if each.secret is not None:
                yield f"sources[{number}].secret.name", each.secret.name


class _CSI(Struct, frozen=True):
    node_publish_secret_ref: SecretRef | None = None

    def named(self) -> Named:
        if self.node_publish_secret_ref is not None:
            yield "nodePublishSecretRef.name", self.node_publish_secret_ref.name


_REFERRING: Final = ("cephfs", "cinder", "flexVolume", "iscsi", "rbd", "scaleIO", "storageos")
_KINDS: Final = {
    "secret": _ByName,
    "projected": _Projected,
    "csi": _CSI,
    "azureFile": _ByName,
    **dict.fromkeys(_REFERRING, _ByReference),
}
#: Made once: making one costs more than reading a volume with it.
_READ: Final = {source: msgspec.json.Decoder(kind | None).decode for source, kind in _KINDS.items()}


def check(subject: Subject, service_account: str) -> Iterator[Violation]:
    """The Secrets that the pod uses and that belong to other identities than its own.

    Raises msgspec.MsgspecError for a volume that the API server would not take either.
    """
    own = identity_secret(service_account)
    for field, name in (*_of_volumes(subject), *_of_containers(subject)):
        if name.endswith(IDENTITY_SECRET_SUFFIX) and name != own:
            owner = name.removesuffix(IDENTITY_SECRET_SUFFIX)
            yield Violation(
                CONTROL_ID,
                field,
                f"is {quoted([name])}, a name that is kept for the certificate of ServiceAccount {quoted([owner])}; "
                f"the pod runs under {quoted([service_account])}",
                f"run the pod under that ServiceAccount, or use {quoted([own])}; a Secret that holds something else "
                f"needs a name that does not end in {IDENTITY_SECRET_SUFFIX}",
            )


def _of_volumes(subject: Subject) -> Iterator[tuple[str, str]]:
    for index, volume in enumerate(subject.spec.volumes or ()):
        for source in volume:
            if source not in _READ:
                continue
            held = _READ[source](volume[source])
            if held is not None:
                for field, name in held.named():
                    yield f"{subject.prefix}spec.volumes[{index}].{source}.{field}", name


def _of_containers(subject: Subject) -> Iterator[tuple[str, str]]:
    for field, container in subject.containers:
        for index, variable in enumerate(container.env or ()):
            source = variable.value_from
            if source is not None and source.secret_key_ref is not None:
                yield f"{field}.env[{index}].valueFrom.secretKeyRef.name", source.secret_key_ref.name
        for index, origin in enumerate(container.env_from or ()):
            if origin.secret_ref is not None:
                yield f"{field}.envFrom[{index}].secretRef.name", origin.secret_ref.name
