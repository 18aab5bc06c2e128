"""The Secret with an identity's certificate and key is for pods of that identity only.

Whoever holds the key is the service, so a pod may use such a Secret only under the ServiceAccount that the identity
rests on. Fields: the Secrets of volumes (secret, projected, csi), and of env and envFrom of containers of every kind.
Pods from before the ServiceIdentity are not judged again.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from ringfence.controls.control import quoted
from ringfence.controls.pod import SecretRef, Struct, Subject
from ringfence.model.verdict import Violation

CONTROL_ID: Final = "identity-secret"

#: (Secret, ServiceAccount) pairs, as EffectivePolicy.identity_secrets.
Owners = Sequence[tuple[str, str]]


class _Secret(Struct, frozen=True):
    secret_name: str | None = None


class _Source(Struct, frozen=True):
    secret: SecretRef | None = None


class _Projected(Struct, frozen=True):
    sources: list[_Source] | None = None


class _CSI(Struct, frozen=True):
    node_publish_secret_ref: SecretRef | None = None


_KINDS: Final = {"secret": _Secret, "projected": _Projected, "csi": _CSI}


def check(subject: Subject, service_account: str, owners: Owners) -> Iterator[Violation]:
    """The Secrets that the pod uses and that belong to other identities than its own.

    Raises msgspec.MsgspecError for a volume that the API server would not take either.
    """
    if not owners:
        return
    for field, name in (*_of_volumes(subject), *_of_containers(subject)):
        accounts = sorted(account for secret, account in owners if secret == name)
        if accounts and service_account not in accounts:
            yield Violation(
                CONTROL_ID,
                field,
                f"is {quoted([name])}, the certificate of ServiceAccount {quoted(accounts)}; the pod runs under "
                f"{quoted([service_account])}",
                "run the pod under that ServiceAccount, or ask for a certificate of its own by a ServiceIdentity",
            )


def _of_volumes(subject: Subject) -> Iterator[tuple[str, str]]:
    for index, volume in enumerate(subject.spec.volumes or ()):
        for source, kind in _KINDS.items():
            if source in volume:
                field = f"{subject.prefix}spec.volumes[{index}].{source}"
                yield from _of_source(field, msgspec.json.decode(volume[source], type=kind | None))


def _of_source(field: str, source: _Secret | _Projected | _CSI | None) -> Iterator[tuple[str, str]]:
    match source:
        case _Secret(secret_name=str(name)):
            yield f"{field}.secretName", name
        case _CSI(node_publish_secret_ref=SecretRef(name=name)):
            yield f"{field}.nodePublishSecretRef.name", name
        case _Projected(sources=list(sources)):
            for number, each in enumerate(sources):
                if each.secret is not None:
                    yield f"{field}.sources[{number}].secret.name", each.secret.name


def _of_containers(subject: Subject) -> Iterator[tuple[str, str]]:
    for field, container in subject.containers:
        for index, variable in enumerate(container.env or ()):
            source = variable.value_from
            if source is not None and source.secret_key_ref is not None:
                yield f"{field}.env[{index}].valueFrom.secretKeyRef.name", source.secret_key_ref.name
        for index, origin in enumerate(container.env_from or ()):
            if origin.secret_ref is not None:
                yield f"{field}.envFrom[{index}].secretRef.name", origin.secret_ref.name
