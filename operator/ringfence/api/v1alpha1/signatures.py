"""The field ``signatures``: which images must be signed, and by whom."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from ringfence.api.schema import Complaint, Field, ListOf, Obj, Rule, Text, exactly_one_of
from ringfence.api.v1alpha1 import identifiers
from ringfence.model import image_reference
from ringfence.model.signatures import BELOW, EVERYTHING, SignatureRule, Signer

MAX_RULES: Final = 32
MAX_PATTERNS: Final = 64
MAX_KEYS: Final = 8
MAX_SIGNERS: Final = 16

_HOST: Final = identifiers.REGISTRY_HOST
_COMPONENT: Final = identifiers.REPOSITORY_COMPONENT


def _never_covers(text: str) -> Complaint | None:
    """Images are compared by the names that runtimes use; a pattern that spells one otherwise would cover nothing."""
    if text == EVERYTHING:
        return None
    stem = text.removesuffix(BELOW)
    host, _, path = stem.partition("/")
    if host == image_reference.LEGACY_REGISTRY:
        fix = image_reference.DEFAULT_REGISTRY + stem[len(host) :] + text[len(stem) :]
        return Complaint(f'"{text}" names a registry by its former name', f"write {fix}")
    if host == image_reference.DEFAULT_REGISTRY and path and "/" not in path and stem == text:
        return Complaint(
            f'"{text}" is no name that an image has',
            f"write {host}/{image_reference.OFFICIAL}/{path}",
        )
    return None


_PATTERN: Final = Text(
    description=(
        "An image by registry and repository (registry.example/shop/app), everything below a path"
        " (registry.example/shop/*), or * for every image. No tag, no digest."
    ),
    pattern=rf"^(\*|{_HOST}(/{_COMPONENT})*/\*|{_HOST}(/{_COMPONENT})+)$",
    what="registry/repository, or registry/path/*, or *, in lower case",
    max_length=image_reference.MAX_NAME,
    rules=(
        Rule(
            test=_never_covers,
            cel=(
                f"!self.startsWith('{image_reference.LEGACY_REGISTRY}/') && "
                f"!self.matches('^{image_reference.DEFAULT_REGISTRY.replace('.', '[.]')}/[^/*]+$')"
            ),
            message=(
                f"images of Docker Hub are {image_reference.DEFAULT_REGISTRY}/{image_reference.OFFICIAL}/NAME or"
                f" {image_reference.DEFAULT_REGISTRY}/OWNER/NAME"
            ),
        ),
    ),
)

_KEY: Final = Text(
    description="A public key in PEM: ECDSA (P-256, P-384, P-521), RSA from 2048 bits, or Ed25519.",
    pattern="^-----BEGIN PUBLIC KEY-----\n[A-Za-z0-9+/=\n]+\n-----END PUBLIC KEY-----\n?$",
    what="a public key in PEM (BEGIN PUBLIC KEY)",
    max_length=4096,
)

_SIGNER: Final = Obj(
    description="Somebody who signs without a key, on a certificate that names them. Both fields must be as given.",
    fields=(
        Field(
            name="issuer",
            node=Text(
                description="Who vouches for the identity: the issuer of its tokens, exactly.",
                pattern="^https://[!-~]+$",
                what="an https:// URL",
                max_length=255,
            ),
            required=True,
        ),
        Field(
            name="identity",
            node=Text(
                description=(
                    "The identity in the certificate: a URI or a mail address, exactly, or a URI that ends with /* or"
                    " @* and means what begins so. A host alone (https://host/*) is everybody there and is refused."
                ),
                pattern="^([!-)+-~]+|[a-z][a-z0-9+.-]*://[!-)+-.0-~]+/[!-)+-~]*[/@][*])$",
                what="an identity without *, or scheme://host/path/* or …@*",
                max_length=512,
            ),
            required=True,
        ),
    ),
)

_RULE: Final = Obj(
    description=(
        "Images that must be signed: by one of keys, or by one of keyless. Every rule that covers an image must be"
        " satisfied; an image that no rule covers needs no signature. A covered image is named by digest, since a tag"
        " says nothing of what will run."
    ),
    fields=(
        Field(
            name="name",
            node=replace(identifiers.DNS_LABEL, description="Tells the rule from the others; refusals name it."),
            required=True,
        ),
        Field(
            name="images",
            node=ListOf(
                description="The images that the rule covers: any of these.",
                items=_PATTERN,
                max_items=MAX_PATTERNS,
                unique=True,
            ),
            required=True,
        ),
        Field(
            name="keys",
            node=ListOf(
                description="The keys that may have signed (cosign key pairs): one is enough.",
                items=_KEY,
                max_items=MAX_KEYS,
                unique=True,
            ),
        ),
        Field(
            name="keyless",
            node=ListOf(
                description=(
                    "The signers that may have signed without a key: one is enough. They rest on the trust root that"
                    " the platform has configured, and on its log having seen the signature while the certificate was"
                    " valid."
                ),
                items=_SIGNER,
                max_items=MAX_SIGNERS,
            ),
        ),
    ),
    rules=(exactly_one_of(("keys", "keyless"), "the rule"),),
)

SIGNATURES: Final = Field(
    name="signatures",
    node=ListOf(
        description=(
            "Which images must be signed, and by whom. Signatures are checked when an image is first named by a"
            " workload or a pod; until that is done its pods are refused with verification pending, and tried again."
        ),
        items=_RULE,
        max_items=MAX_RULES,
        key="name",
    ),
)


def rules(images: Mapping[str, Any]) -> tuple[SignatureRule, ...]:
    """The field as values, by name."""
    made = (
        SignatureRule(
            name=each["name"],
            images=tuple(sorted(each["images"])),
            keys=tuple(sorted(each.get("keys", ()))),
            keyless=tuple(sorted(Signer(signer["issuer"], signer["identity"]) for signer in each.get("keyless", ()))),
        )
        for each in images.get("signatures", ())
    )
    return tuple(sorted(made, key=lambda rule: rule.name))
