"""ImageVerdict: what was found out about the signatures of an image. Written by Ringfence only; people read it."""

from dataclasses import replace
from typing import Final

from ringfence.api.schema import Choice, Column, Field, Integer, ListOf, Obj, Resource, Text
from ringfence.api.v1alpha1 import identifiers, policies
from ringfence.model.signatures import SignatureReason

MAX_ANSWERS: Final = 256
MAX_PULL_SECRETS: Final = 16


def _time(description: str) -> Text:
    return Text(
        description=description,
        pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$",
        what="a time such as 2026-01-31T23:59:59Z",
        max_length=20,
        format="date-time",
    )


_SPEC: Final = Obj(
    description="The image that somebody wants to run, and with whose credentials its registry is asked.",
    fields=(
        Field(
            name="image",
            node=Text(
                description="Registry, repository and digest.",
                pattern="^[a-z0-9.:\\[\\]-]+/[a-z0-9._/-]+@sha256:[0-9a-f]{64}$",
                what="registry/repository@sha256:…",
                max_length=512,
            ),
            required=True,
        ),
        Field(
            name="serviceAccountName",
            node=replace(
                identifiers.DNS_SUBDOMAIN,
                description="The ServiceAccount of the pods, which may name pull secrets too.",
            ),
        ),
        Field(
            name="imagePullSecrets",
            node=ListOf(
                description="Names of the pull secrets of the pods.",
                items=replace(identifiers.DNS_SUBDOMAIN, description="The name of a Secret."),
                max_items=MAX_PULL_SECRETS,
                unique=True,
            ),
        ),
        Field(name="requested", node=_time("When somebody wanted to run it last, to the minute."), required=True),
    ),
)

_STATUS: Final = Obj(
    description="What was found out.",
    fields=(
        Field(
            name="answers",
            node=ListOf(
                description="The answer to each rule that covers the image.",
                items=Obj(
                    description="One answer.",
                    fields=(
                        Field(
                            name="rule",
                            node=Text(
                                description="What the rule asks, as a fingerprint.",
                                pattern="^[0-9a-f]{32}$",
                                what="32 hexadecimal digits",
                                max_length=32,
                            ),
                            required=True,
                        ),
                        Field(
                            name="names",
                            node=Text(
                                description="The policies and rules that ask it, for people.",
                                pattern="(?s)^.*$",
                                what="text",
                                max_length=1024,
                                min_length=0,
                            ),
                        ),
                        Field(
                            name="reason",
                            node=Choice(
                                description="What came of it.", values=tuple(each.value for each in SignatureReason)
                            ),
                            required=True,
                        ),
                        Field(
                            name="message",
                            node=Text(
                                description="Why, for people.",
                                pattern="(?s)^.*$",
                                what="text",
                                max_length=2048,
                                min_length=0,
                            ),
                        ),
                        Field(name="until", node=_time("From then on the answer does not count."), required=True),
                    ),
                ),
                max_items=MAX_ANSWERS,
                min_items=0,
                key="rule",
            ),
        ),
        Field(name="checked", node=_time("When the registry was asked last.")),
        Field(
            name="failures",
            node=Integer(
                description="How often in a row the registry could not be asked.",
                minimum=0,
                maximum=1000,
                format="int32",
            ),
        ),
        Field(
            name="trustRoot",
            node=Text(
                description="The trust root that the answers rest on, as a fingerprint.",
                pattern="^[0-9a-f]*$",
                what="hexadecimal digits",
                max_length=32,
                min_length=0,
            ),
        ),
    ),
)

IMAGE_VERDICT: Final = Resource(
    kind="ImageVerdict",
    plural="imageverdicts",
    short_name="imgv",
    namespaced=True,
    description=(
        "What Ringfence found out about the signatures of an image that this namespace wants to run. Nobody writes it"
        " but Ringfence; an admission policy holds that."
    ),
    spec=Field(name="spec", node=_SPEC, required=True),
    status=_STATUS,
    example="""
apiVersion: ringfence.dev/v1alpha1
kind: ImageVerdict
metadata: {name: 0f1b8d6b6f0d4a3c9f0e7a5d2c4b6a8e90123456, namespace: shop}
spec:
  image: registry.example/shop/app@sha256:1f4d1c5b7e0a9d3c2b6f8e4a5d7c9b0e1f2a3b4c5d6e7f8091a2b3c4d5e6f708
  requested: "2026-11-25T12:00:00Z"
status:
  answers:
    - rule: 0a1b2c3d4e5f60718293a4b5c6d7e8f9
      reason: Verified
      until: "2026-11-26T12:00:00Z"
""",
    columns=(
        Column(name="Image", path=".spec.image", description="The image."),
        Column(name="Reason", path=".status.answers[*].reason", description="What came of each rule."),
        Column(name="Until", path=".status.answers[*].until", description="Until when that holds."),
        policies.AGE,
        Column(name="Message", path=".status.answers[*].message", description="Why.", priority=1),
    ),
)
