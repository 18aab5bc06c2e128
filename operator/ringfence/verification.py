"""Finds out whether an image is signed: pull secrets from the API server, signatures from the registry, then a verdict.

The one place where the adapters of both worlds and the pure verification meet. sigstore-python is loaded when the
first keyless rule is met, off the event loop.
"""

import asyncio
import hashlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ringfence import metrics
from ringfence.kube import client, errors, resources
from ringfence.model import image_reference
from ringfence.model.errors import RingfenceError
from ringfence.model.ports import Object
from ringfence.model.signatures import Answer, SignatureReason, SignatureRule, Wanted
from ringfence.registry import credentials, finder
from ringfence.registry.addresses import Named, Reach
from ringfence.registry.client import Client
from ringfence.settings import SignatureSettings
from ringfence.signatures import verify
from ringfence.signatures.found import Found
from ringfence.signatures.keys import BadKey

_log: Final = logging.getLogger(__name__)

#: Pull secrets of one image that are read.
_MAX_SECRETS: Final = 16
#: Checks that are under way at the same time, of all namespaces together.
_AT_ONCE: Final = 8


@dataclass
class _Root:
    """The trust root, read once; None when there is none that can be used."""

    value: verify.Root | None
    trouble: str = ""


class Inspector:
    """Fulfils reconcile.verdicts.Inspector. Needs a running event loop; end it with ``close``."""

    def __init__(self, api: client.Client, settings: SignatureSettings) -> None:
        self._api = api
        self._document = settings.trusted_root.encode()
        named = {each.host: Named(each.private, each.plain_http) for each in settings.registries}
        self._client = Client(Reach(named), ca=settings.ca)
        self._root: _Root | None = None
        self._loading = asyncio.Lock()
        self._slots = asyncio.Semaphore(_AT_ONCE)

    @property
    def trust_root(self) -> str:
        """Tells one trust root from another; "" for none."""
        return hashlib.sha256(self._document).hexdigest()[:32] if self._document else ""

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def inspect(self, wanted: Wanted, rules: Sequence[SignatureRule]) -> tuple[Answer, ...]:
        """An answer for each rule."""
        image = image_reference.parse(wanted.image)
        async with self._slots:
            chosen = credentials.choose(image, await self._entries(wanted))
            gathered = await finder.gather(self._client, image, chosen)
            root = await self._trust_root() if any(rule.keyless for rule in rules) else _Root(None)
            answers = await asyncio.to_thread(_verified, rules, image.digest, gathered.found, root)
        told = tuple(_unless(each, gathered.trouble) for each in answers)
        for each in told:
            metrics.IMAGE_CHECKS.labels(each.reason.value).inc()
        return told

    async def _trust_root(self) -> _Root:
        async with self._loading:
            if self._root is None:
                self._root = await asyncio.to_thread(_load, self._document)
                if self._root.trouble:
                    _log.error("%s", self._root.trouble)
        return self._root

    async def _entries(self, wanted: Wanted) -> list[credentials.Entry]:
        """The credentials that the pod names, then those of its ServiceAccount."""
        names = list(wanted.pull_secrets)
        account = await self._read(resources.SERVICE_ACCOUNTS, wanted.namespace, wanted.service_account)
        names += _names((account or {}).get("imagePullSecrets") or ())
        found: list[credentials.Entry] = []
        for name in list(dict.fromkeys(names))[:_MAX_SECRETS]:
            secret = await self._read(resources.SECRETS, wanted.namespace, name)
            found += credentials.read(secret or {})
        return found

    async def _read(self, resource: resources.Resource, namespace: str, name: str) -> Object | None:
        """The object; None when there is none, or none that may be read: then the registry is asked without."""
        if not name:
            return None
        try:
            found: Object = await self._api.request("GET", resource.path(namespace, name))
        except errors.NotFound:
            return None
        except RingfenceError as error:
            _log.warning("%s %s/%s cannot be read: %s", resource.kind, namespace, name, error)
            return None
        return found


def _names(references: Iterable[Any]) -> list[str]:
    return [each["name"] for each in references if isinstance(each, dict) and each.get("name")]


def _load(document: bytes) -> _Root:
    if not document:
        return _Root(None)
    from ringfence.signatures import keyless  # noqa: PLC0415 (a second and 30 MB, for who needs it)

    try:
        return _Root(keyless.TrustRoot(document))
    except keyless.BadTrustRoot as error:
        return _Root(None, str(error))


def _verified(rules: Sequence[SignatureRule], digest: str, found: Sequence[Found], root: _Root) -> tuple[Answer, ...]:
    answers = []
    for rule in rules:
        try:
            answer = verify.verify(rule, digest, found, root.value)
        except BadKey as error:
            answer = Answer(SignatureReason.NOT_TRUSTED, f"a key of rule {rule.name} {error}")
        if answer.reason is SignatureReason.NO_TRUST_ROOT and root.trouble:
            answer = Answer(answer.reason, root.trouble)
        answers.append(answer)
    return tuple(answers)


def _unless(answer: Answer, trouble: Sequence[str]) -> Answer:
    """That nothing good was found says nothing while a part of the registry did not answer."""
    if not trouble or answer.reason not in {SignatureReason.NOT_SIGNED, SignatureReason.NOT_TRUSTED}:
        return answer
    return Answer(SignatureReason.REGISTRY_FAILED, "; ".join(dict.fromkeys(trouble)))
