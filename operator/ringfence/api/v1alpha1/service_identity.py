"""ServiceIdentity: the identity of a service, resting on its ServiceAccount."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from ringfence.api.schema import (
    Choice,
    Column,
    Complaint,
    Field,
    Integer,
    ListOf,
    MapOf,
    Number,
    Obj,
    Resource,
    Rule,
    Text,
)
from ringfence.api.v1alpha1 import conditions, identifiers, policies
from ringfence.model import durations
from ringfence.model.certificates import KeyAlgorithm
from ringfence.model.names import IDENTITY_SECRET_SUFFIX, MAX_LABEL_VALUE, identity_secret
from ringfence.model.resources import Kind


def _name_fits(value: Mapping[str, Any]) -> Complaint | None:
    if "serviceAccountName" in value["spec"] or len(value["name"]) <= MAX_LABEL_VALUE:
        return None
    return Complaint(
        f"the name of the resource has {len(value['name'])} characters, and the name of a ServiceAccount that is an"
        f" identity at most {MAX_LABEL_VALUE}",
        "give serviceAccountName, or a shorter name",
        at="metadata.name",
    )


def _secret_is_its_own(value: Mapping[str, Any]) -> Complaint | None:
    certificate = value["spec"].get("certificate") or {}
    wanted = identity_secret(value["spec"].get("serviceAccountName", value["name"]))
    if certificate.get("secretName", wanted) == wanted:
        return None
    return Complaint(
        f'"{certificate["secretName"]}" is not the name that is kept for the certificate of this ServiceAccount',
        f"give {wanted}",
        at="spec.certificate.secretName",
    )


def _count(what: str) -> Integer:
    return Integer(description=what, minimum=0, maximum=2**31 - 1, format="int32")


#: Lives of certificates, in seconds.
MIN_TTL: Final = 600
MAX_TTL: Final = 24 * 3600


def _life_out_of_range(text: str) -> Complaint | None:
    if MIN_TTL <= durations.parse(text) <= MAX_TTL:
        return None
    return Complaint(f'"{text}" is out of range', "give 10m to 24h")


TTL: Final = Text(
    description=(
        "How long a certificate lives, 10m to 24h, such as 1h30m. Default: 4h. Short lives are what takes the place of"
        " revocation."
    ),
    pattern=durations.PATTERN,
    what="a duration of hours, minutes and seconds, such as 1h30m",
    max_length=21,
    rules=(
        Rule(
            test=_life_out_of_range,
            cel="duration(self) >= duration('10m') && duration(self) <= duration('24h')",
            message="is not from 10m to 24h",
        ),
    ),
)

_CERTIFICATE: Final = Obj(
    description="The certificate of the identity, for programs that do their own TLS.",
    fields=(
        Field(
            name="secretName",
            node=replace(
                identifiers.DNS_SUBDOMAIN,
                description=(
                    "The Secret (kubernetes.io/tls, with ca.crt) that Ringfence keeps the certificate in: the name of"
                    f" the ServiceAccount and {IDENTITY_SECRET_SUFFIX}. Only pods under that ServiceAccount may use it."
                    " It must not exist yet. If left out, no certificate is stored."
                ),
            ),
        ),
        Field(name="ttl", node=TTL, default="4h"),
        Field(
            name="renewAt",
            node=Number(
                description=(
                    "The share of the life after which it is renewed, 0.1 to 0.9, give or take a tenth. Default: 0.25."
                ),
                minimum=0.1,
                maximum=0.9,
            ),
            default=0.25,
        ),
        Field(
            name="keyAlgorithm",
            node=Choice(
                description="The kind of its key, which is a new one each time. Default: ECDSA-P256.",
                values=tuple(each.value for each in KeyAlgorithm),
            ),
            default=KeyAlgorithm.ECDSA_P256.value,
        ),
        Field(
            name="dnsNames",
            node=ListOf(
                description=(
                    "DNS names beside those of the Services that select the pods of the identity. Each needs a grant in"
                    " a ClusterSecurityPolicy."
                ),
                items=replace(identifiers.DNS_NAME, description="A DNS name; no wildcard."),
                max_items=32,
                unique=True,
            ),
        ),
    ),
    hints={
        "duration": Complaint("is not a field", "write ttl"),
        "renewBefore": Complaint("is not a field", "write renewAt, a share of the life"),
        "privateKey": Complaint("is not a field", "write keyAlgorithm"),
    },
)

_SPEC: Final = Obj(
    description="What makes the identity.",
    fields=(
        Field(
            name="serviceAccountName",
            node=replace(
                identifiers.SERVICE_ACCOUNT,
                description=(
                    "The ServiceAccount of this namespace whose pods have the identity; default: the name of the"
                    " resource. It is what Kubernetes authenticates, so it is all that the identity rests on."
                ),
            ),
        ),
        Field(
            name="labels",
            node=MapOf(
                description=(
                    "What policies may ask of callers with this identity (source.labels[NAME]), such as role: batch."
                    " Whoever may write this resource says so. They are not the labels of the resource, nor of pods."
                ),
                keys=Text(
                    description="The name of a label, without a prefix.",
                    pattern=f"^{conditions.LABEL}$",
                    what="a name of letters, digits and, inside, '-', '_' and '.'",
                    max_length=63,
                ),
                values=Text(
                    description="Its value.",
                    pattern=f"^{conditions.LABEL}$",
                    what="a value of letters, digits and, inside, '-', '_' and '.'",
                    max_length=63,
                ),
                max_items=16,
            ),
        ),
        Field(name="certificate", node=_CERTIFICATE),
    ),
    hints={
        "secretName": Complaint("is not a field here", "write it in certificate"),
        "dnsNames": Complaint("is not a field here", "write it in certificate"),
        "serviceAccount": Complaint("is not a field", "write serviceAccountName"),
    },
)


def _time(name: str, what: str) -> Field:
    return Field(
        name=name,
        node=Text(
            description=what,
            pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$",
            what="a time such as 2026-01-31T23:59:59Z",
            max_length=20,
            format="date-time",
        ),
    )


def _hex(name: str, what: str, length: int) -> Field:
    return Field(
        name=name,
        node=Text(description=what, pattern="^[0-9a-f]*$", what="hexadecimal digits", min_length=0, max_length=length),
    )


_CERTIFICATE_STATUS: Final = Obj(
    description="The certificate in the Secret.",
    fields=(
        _hex("serial", "Its serial number.", 40),
        _time("notBefore", "When it begins to be valid."),
        _time("notAfter", "When it ends."),
        _time("renewalTime", "When it will be renewed."),
        _hex("issuer", "SHA-256 of the root that signed it; empty when that root is not trusted any more.", 64),
    ),
)

_STATUS: Final = Obj(
    description="What Ringfence made of the identity. Written by Ringfence only.",
    fields=(
        Field(
            name="spiffeID",
            node=Text(
                description="The SPIFFE ID of the pods that run under the ServiceAccount.",
                pattern="^(spiffe://.+)?$",
                what="a SPIFFE ID",
                min_length=0,
                max_length=2048,
            ),
        ),
        Field(name="certificate", node=_CERTIFICATE_STATUS),
        policies.CONDITIONS,
        policies.OBSERVED_GENERATION,
        Field(
            name="workloads",
            node=Obj(
                description="The pods that run under the ServiceAccount.",
                fields=(
                    Field(name="enrolled", node=_count("How many carry the label of the identity.")),
                    Field(
                        name="unenrolled",
                        node=_count("How many do not: they ran before their namespace was enrolled."),
                    ),
                ),
            ),
        ),
    ),
)

SERVICE_IDENTITY: Final = Resource(
    kind=Kind.SERVICE_IDENTITY.value,
    plural="serviceidentities",
    short_name="svcid",
    namespaced=True,
    description=(
        "The identity of a service: what policies name, and what its pods prove. It rests on a ServiceAccount of the"
        " same namespace and is written spiffe://<trust domain>/ns/<namespace>/sa/<ServiceAccount>."
    ),
    spec=Field(name="spec", node=_SPEC, default={}),
    status=_STATUS,
    example="""
apiVersion: ringfence.dev/v1alpha1
kind: ServiceIdentity
metadata: {name: payments, namespace: shop}
spec:
  serviceAccountName: payments
  labels: {role: store}
  certificate:
    secretName: payments-identity
    ttl: 4h
    renewAt: 0.25
    keyAlgorithm: ECDSA-P256
    dnsNames: [payments.example.com]
""",
    columns=(
        Column(name="ServiceAccount", path=".spec.serviceAccountName", description="If not the name.", priority=1),
        Column(name="SPIFFE ID", path=".status.spiffeID", description="The identity in full."),
        replace(policies.READY, description="Whether the identity can be used."),
        policies.REASON,
        # Not of type date, which kubectl writes as an age: moments to come would read <invalid>.
        Column(name="Expires", path=".status.certificate.notAfter", description="When the certificate ends."),
        Column(name="Renews", path=".status.certificate.renewalTime", description="When it will be renewed."),
        policies.AGE,
        policies.MESSAGE,
    ),
    rules=(
        Rule(
            test=_name_fits,
            cel=f"has(self.spec.serviceAccountName) || size(self.metadata.name) <= {MAX_LABEL_VALUE}",
            message=(
                f"the name of a ServiceAccount that is an identity has at most {MAX_LABEL_VALUE} characters: give"
                " spec.serviceAccountName, or a shorter name"
            ),
        ),
        Rule(
            test=_secret_is_its_own,
            cel=(
                "!has(self.spec) || !has(self.spec.certificate) || !has(self.spec.certificate.secretName) ||"
                " self.spec.certificate.secretName == (has(self.spec.serviceAccountName) ?"
                f" self.spec.serviceAccountName : self.metadata.name) + '{IDENTITY_SECRET_SUFFIX}'"
            ),
            message=(
                "spec.certificate.secretName must be the name of the ServiceAccount and"
                f" {IDENTITY_SECRET_SUFFIX}: admission keeps that name for its pods"
            ),
        ),
    ),
)
