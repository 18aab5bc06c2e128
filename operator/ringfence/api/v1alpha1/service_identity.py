"""ServiceIdentity: the identity of a service, resting on its ServiceAccount."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from ringfence.api.schema import Column, Complaint, Field, Integer, Obj, Resource, Rule, Text
from ringfence.api.v1alpha1 import identifiers, policies
from ringfence.model.names import MAX_LABEL_VALUE
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


def _count(what: str) -> Integer:
    return Integer(description=what, minimum=0, maximum=2**31 - 1, format="int32")


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
    ),
    hints={
        "certificate": Complaint("is not available yet: this version issues no certificates", "leave it out"),
        "serviceAccount": Complaint("is not a field", "write serviceAccountName"),
    },
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
spec: {serviceAccountName: payments}
""",
    columns=(
        Column(name="ServiceAccount", path=".spec.serviceAccountName", description="If not the name.", priority=1),
        Column(name="SPIFFE ID", path=".status.spiffeID", description="The identity in full."),
        replace(policies.READY, description="Whether the identity can be used."),
        policies.REASON,
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
    ),
)
