"""Everything that a registry holds beside an image and that may be a signature of it, by the three ways it is kept.

They are: referrers of the digest (OCI 1.1); where a registry does not list those, the index under the tag
``sha256-…``; and the older tag ``sha256-….sig``. What one way fails at does not hide what another finds.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from ringfence.model.image_reference import ImageReference
from ringfence.registry.client import Client, Got, Repository, within
from ringfence.registry.credentials import Credentials
from ringfence.registry.errors import Garbage, RegistryError
from ringfence.signatures.bundle import MAX_BUNDLE
from ringfence.signatures.found import Bundle, Found, SimpleSigning
from ringfence.signatures.statement import MAX_PAYLOAD, SIGNATURE_PREDICATE

#: Seconds for everything about one image.
SECONDS: Final = 60.0
#: Signatures of one image that are looked at, and pages of referrers; a registry may hold any number.
MAX_FOUND: Final = 64
MAX_PAGES: Final = 4
#: Descriptors that are followed, signatures or not.
MAX_FOLLOWED: Final = 128
MAX_MANIFEST: Final = 4 * 1024 * 1024

_BUNDLE_TYPE: Final = "application/vnd.dev.sigstore.bundle"
_OLDER_TYPE: Final = "application/vnd.dev.cosign.artifact.sig.v1+json"
#: What a referrer with a signature may be listed as: some registries show the type of its configuration instead.
_MAY_BE: Final = frozenset(
    {_OLDER_TYPE, "", "application/vnd.oci.empty.v1+json", "application/vnd.oci.image.config.v1+json"}
)
_SIMPLE_LAYER: Final = "application/vnd.dev.cosign.simplesigning.v1+json"
_PREDICATE: Final = "dev.sigstore.bundle.predicateType"
_SIGNATURE: Final = "dev.cosignproject.cosign/signature"
_CERTIFICATE: Final = "dev.sigstore.cosign/certificate"
_LOG: Final = "dev.sigstore.cosign/bundle"
_INDEX: Final = "application/vnd.oci.image.index.v1+json"
_MANIFESTS: Final = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
_DIGEST: Final = re.compile("sha256:[0-9a-f]{64}")
_ANNOTATION: Final = 256 * 1024


@dataclass
class Gathered:
    """What was found, and what stood in the way; with trouble, that nothing was found says nothing."""

    found: list[Found] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)
    followed: int = 0

    def follow(self) -> bool:
        """Whether one more descriptor may be followed; counts it."""
        self.followed += 1
        return len(self.found) < MAX_FOUND and self.followed <= MAX_FOLLOWED


async def gather(client: Client, image: ImageReference, credentials: Credentials | None) -> Gathered:
    """Everything beside ``image``, which must have a sha256 digest. Raises nothing but for a defect."""
    gathered = Gathered()
    repository = Repository(client, image, credentials)
    try:
        await within(SECONDS, _gather(repository, image.digest, gathered), f"asking {image.registry}")
    except RegistryError as error:
        gathered.trouble.append(str(error))
    return gathered


async def _gather(repository: Repository, digest: str, gathered: Gathered) -> None:
    tag = digest.replace(":", "-")
    for way in (partial(_older, repository, f"{tag}.sig"), partial(_referrers, repository, digest, tag)):
        try:
            await way(gathered)
        except RegistryError as error:
            gathered.trouble.append(str(error))


async def _older(repository: Repository, tag: str, gathered: Gathered) -> None:
    got = await repository.read(f"manifests/{tag}", _MANIFESTS, MAX_MANIFEST)
    if got is not None:
        await _simple_layers(repository, _object(got.content), gathered)


async def _referrers(repository: Repository, digest: str, tag: str, gathered: Gathered) -> None:
    got = await repository.read(f"referrers/{digest}", _INDEX, MAX_MANIFEST)
    if got is None or got.media_type != _INDEX:
        got = await repository.read(f"manifests/{tag}", _INDEX, MAX_MANIFEST)
    pages = 0
    while got is not None and pages < MAX_PAGES:
        pages += 1
        for descriptor in _descriptors(_object(got.content), "manifests"):
            await _referrer(repository, descriptor, gathered)
        got = await _next(repository, got)


async def _next(repository: Repository, got: Got) -> Got | None:
    return await repository.read_page(got.link, _INDEX, MAX_MANIFEST) if got.link else None


async def _referrer(repository: Repository, descriptor: dict[str, Any], gathered: Gathered) -> None:
    """One referrer; what cannot be read of it is no signature, and hides none."""
    kind = descriptor.get("artifactType") or ""
    if not isinstance(kind, str) or not (kind.startswith(_BUNDLE_TYPE) or kind in _MAY_BE):
        return
    if _annotation(descriptor, _PREDICATE) not in {"", SIGNATURE_PREDICATE} or not gathered.follow():
        return
    try:
        manifest = await repository.content("manifests", descriptor["digest"], _MANIFESTS, MAX_MANIFEST)
        if manifest is None:
            return
        await _simple_layers(repository, _object(manifest), gathered)
        for layer in _descriptors(_object(manifest), "layers"):
            if str(layer.get("mediaType", "")).startswith(_BUNDLE_TYPE) and gathered.follow():
                document = await repository.content("blobs", layer["digest"], "*/*", MAX_BUNDLE)
                if document is not None:
                    gathered.found.append(Bundle(document))
    except Garbage:
        return


async def _simple_layers(repository: Repository, manifest: dict[str, Any], gathered: Gathered) -> None:
    """The signatures of the older form in a manifest; one that cannot be read hides no other."""
    for layer in _descriptors(manifest, "layers"):
        if layer.get("mediaType") != _SIMPLE_LAYER or not gathered.follow():
            continue
        try:
            signature = base64.b64decode(_annotation(layer, _SIGNATURE), validate=True)
            payload = await repository.content("blobs", layer["digest"], "*/*", MAX_PAYLOAD)
        except (Garbage, binascii.Error, ValueError):
            continue
        if payload is not None:
            certificate, log = _annotation(layer, _CERTIFICATE).encode(), _annotation(layer, _LOG).encode()
            gathered.found.append(SimpleSigning(payload, signature, certificate, log))


def _descriptors(document: dict[str, Any], name: str) -> Iterator[dict[str, Any]]:
    """The entries of a list of descriptors that have a digest that can be asked for."""
    entries = document.get(name)
    for each in entries if isinstance(entries, list) else ():
        if isinstance(each, dict) and isinstance(each.get("digest"), str) and _DIGEST.fullmatch(each["digest"]):
            yield each


def _annotation(descriptor: dict[str, Any], name: str) -> str:
    annotations = descriptor.get("annotations")
    value = annotations.get(name, "") if isinstance(annotations, dict) else ""
    return value if isinstance(value, str) and len(value) <= _ANNOTATION else ""


def _object(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Garbage(f"the registry answers with what is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise Garbage("the registry answers with what is no JSON object")
    return document
