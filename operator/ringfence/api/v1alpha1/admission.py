"""The controls beyond Pod Security that a policy switches on: their fields, and what these mean to the model.

Every field only ever asks for more: a switch is ``true`` or left out, so that no policy can turn off what another one
asks for.
"""

from collections.abc import Mapping
from typing import Any, Final

from ringfence.api.schema import Choice, Complaint, Field, Flag, ListOf, Obj, Rule, Text, at_least_one_of
from ringfence.api.v1alpha1 import identifiers, signatures
from ringfence.model import image_reference
from ringfence.model.demands import ControlId, Setting

MAX_REGISTRIES: Final = 128
MAX_NAMES: Final = 64

_LEGACY: Final = image_reference.LEGACY_REGISTRY


def _not_canonical(text: str) -> Complaint | None:
    if text.partition("/")[0] == _LEGACY:
        fix = image_reference.DEFAULT_REGISTRY + text[len(_LEGACY) :]
        return Complaint(f'"{text}" names a registry by its former name', f"write {fix}")
    return None


REGISTRY: Final = Text(
    description=(
        "A registry, or a registry and a path below it: registry.example, registry.example:5000/shop,"
        " docker.io/library/nginx. It allows what is at the path and below it; path components are compared whole."
    ),
    pattern=f"^{identifiers.REGISTRY_HOST}(/{identifiers.REPOSITORY_COMPONENT})*$",
    what="a registry such as registry.example or registry.example:5000, with or without a path, in lower case",
    max_length=image_reference.MAX_NAME,
    rules=(
        Rule(
            test=_not_canonical,
            cel=f"self != '{_LEGACY}' && !self.startsWith('{_LEGACY}/')",
            message=f"{_LEGACY} is called {image_reference.DEFAULT_REGISTRY}",
        ),
    ),
)

_IMAGES: Final = Obj(
    description="Which images pods may run and mount. They are judged as they are written: no tag is ever looked up.",
    fields=(
        Field(
            name="registries",
            node=ListOf(
                description=(
                    "Where images may come from: any of these. Where several policies have such a list, an image must"
                    " be allowed by each of them. A name without a registry is one of docker.io."
                ),
                items=REGISTRY,
                max_items=MAX_REGISTRIES,
                unique=True,
            ),
        ),
        Field(name="requireDigest", node=Flag(description="Images are named by digest (…@sha256:…).")),
        Field(name="forbidLatest", node=Flag(description="The tag latest is refused, and so is no tag and no digest.")),
        signatures.SIGNATURES,
    ),
    rules=(at_least_one_of(("registries", "requireDigest", "forbidLatest", "signatures"), "images"),),
)


def _names_of_nothing(value: Mapping[str, Any]) -> Complaint | None:
    if "names" not in value or "forbidInEnvironment" in value or "forbidInArguments" in value:
        return None
    return Complaint("says nothing by itself", "give forbidInEnvironment or forbidInArguments beside it", at="names")


_CREDENTIALS: Final = Obj(
    description="Credentials that stand in pods themselves, where whoever may read the pod can read them.",
    fields=(
        Field(
            name="forbidInEnvironment",
            node=Flag(
                description=(
                    "No variable has a written-out value whose name says credential (DB_PASSWORD, API_KEY), or a value"
                    " that has the form of one (keys of AWS, tokens of GitHub, private keys, JWTs, URLs with password)."
                )
            ),
        ),
        Field(
            name="forbidInArguments",
            node=Flag(description="The same for commands, arguments, and commands and headers of probes and hooks."),
        ),
        Field(
            name="forbidSecretVariables",
            node=Flag(
                description="Secrets are mounted as files: secretKeyRef in env and secretRef in envFrom are refused."
            ),
        ),
        Field(
            name="names",
            node=ListOf(
                description="Further names of variables, flags and headers whose values are credentials.",
                items=Text(
                    description="A name, compared exactly.",
                    pattern="^[A-Za-z_]([-A-Za-z0-9_.]*[A-Za-z0-9_])?$",
                    what="a name of letters, digits and, inside, '-', '_' and '.'",
                    max_length=128,
                ),
                max_items=MAX_NAMES,
                unique=True,
            ),
        ),
    ),
    rules=(
        at_least_one_of(("forbidInEnvironment", "forbidInArguments", "forbidSecretVariables"), "credentials"),
        Rule(
            test=_names_of_nothing,
            cel="!has(self.names) || has(self.forbidInEnvironment) || has(self.forbidInArguments)",
            message="names needs forbidInEnvironment or forbidInArguments beside it",
        ),
    ),
)

_SERVICE_ACCOUNT: Final = Obj(
    description="The ServiceAccount that pods run under.",
    fields=(
        Field(
            name="forbidAutomount",
            node=Flag(
                description=(
                    "Pods set automountServiceAccountToken to false. Tokens that they ask for by projected volumes"
                    " are not automounted."
                )
            ),
        ),
        Field(name="forbidDefault", node=Flag(description='Pods do not run under the ServiceAccount "default".')),
    ),
    rules=(at_least_one_of(("forbidAutomount", "forbidDefault"), "serviceAccount"),),
)


def _resources(name: str, says: str) -> Field:
    return Field(
        name=name,
        node=ListOf(
            description=f"The resources for which every container, or the pod as a whole, {says}.",
            items=Choice(description="A resource.", values=("cpu", "ephemeral-storage", "memory")),
            max_items=3,
            unique=True,
        ),
    )


_RESOURCES: Final = Obj(
    description="What containers say of the resources that they use. Ephemeral containers cannot say anything.",
    fields=(
        _resources("requireLimits", "has a limit"),
        _resources("requireRequests", "has a request, or a limit that stands for one"),
    ),
    rules=(at_least_one_of(("requireLimits", "requireRequests"), "resources"),),
)

_PODS: Final = Obj(
    description="Single things that pods must or must not have.",
    fields=(
        Field(
            name="requireReadOnlyRoot",
            node=Flag(description="Every container sets securityContext.readOnlyRootFilesystem to true."),
        ),
        Field(
            name="forbidHostAliases",
            node=Flag(description="Pods add no lines to /etc/hosts (hostAliases) and no name servers (dnsConfig)."),
        ),
        Field(name="forbidPrivilegedPorts", node=Flag(description="Containers declare no port below 1024.")),
        Field(
            name="forbidEphemeralContainers",
            node=Flag(description="Nobody adds containers to running pods (kubectl debug)."),
        ),
    ),
    rules=(
        at_least_one_of(
            ("requireReadOnlyRoot", "forbidHostAliases", "forbidPrivilegedPorts", "forbidEphemeralContainers"), "pods"
        ),
    ),
)

_SESSIONS: Final = Obj(
    description="What people may open into running pods.",
    fields=(
        Field(name="forbidExec", node=Flag(description="Nobody runs programs in them (kubectl exec, kubectl cp).")),
        Field(name="forbidAttach", node=Flag(description="Nobody attaches to their programs (kubectl attach).")),
        Field(
            name="forbidPortForward",
            node=Flag(description="Nobody reaches their ports past NetworkPolicies (kubectl port-forward)."),
        ),
    ),
    rules=(at_least_one_of(("forbidExec", "forbidAttach", "forbidPortForward"), "sessions"),),
)

#: The sections of ``admission`` beside podSecurity.
FIELDS: Final = (
    Field(name="images", node=_IMAGES),
    Field(name="credentials", node=_CREDENTIALS),
    Field(name="serviceAccount", node=_SERVICE_ACCOUNT),
    Field(name="resources", node=_RESOURCES),
    Field(name="pods", node=_PODS),
    Field(name="sessions", node=_SESSIONS),
)
NAMES: Final = tuple(field.name for field in FIELDS)

#: (section, field) to the control that it switches on, and the field of the section that tells the control more.
_CONTROLS: Final[Mapping[tuple[str, str], tuple[ControlId, str]]] = {
    ("images", "registries"): (ControlId.IMAGE_REGISTRIES, "registries"),
    ("images", "requireDigest"): (ControlId.IMAGE_DIGEST, ""),
    ("images", "forbidLatest"): (ControlId.IMAGE_LATEST, ""),
    ("credentials", "forbidInEnvironment"): (ControlId.CREDENTIALS_ENVIRONMENT, "names"),
    ("credentials", "forbidInArguments"): (ControlId.CREDENTIALS_ARGUMENTS, "names"),
    ("credentials", "forbidSecretVariables"): (ControlId.SECRET_VARIABLES, ""),
    ("serviceAccount", "forbidAutomount"): (ControlId.AUTOMOUNTED_TOKEN, ""),
    ("serviceAccount", "forbidDefault"): (ControlId.DEFAULT_SERVICE_ACCOUNT, ""),
    ("resources", "requireLimits"): (ControlId.RESOURCE_LIMITS, "requireLimits"),
    ("resources", "requireRequests"): (ControlId.RESOURCE_REQUESTS, "requireRequests"),
    ("pods", "requireReadOnlyRoot"): (ControlId.READ_ONLY_ROOT, ""),
    ("pods", "forbidHostAliases"): (ControlId.HOST_ALIASES, ""),
    ("pods", "forbidPrivilegedPorts"): (ControlId.PRIVILEGED_PORTS, ""),
    ("pods", "forbidEphemeralContainers"): (ControlId.EPHEMERAL_CONTAINERS, ""),
    ("sessions", "forbidExec"): (ControlId.EXEC, ""),
    ("sessions", "forbidAttach"): (ControlId.ATTACH, ""),
    ("sessions", "forbidPortForward"): (ControlId.PORT_FORWARD, ""),
}


def settings(admission: Mapping[str, Any]) -> tuple[Setting, ...]:
    """What a well-formed ``admission`` switches on, sorted by control."""
    found = [
        Setting(control, tuple(sorted(admission[section].get(more, ()))) if more else ())
        for (section, field), (control, more) in _CONTROLS.items()
        if field in admission.get(section, {})
    ]
    return tuple(sorted(found, key=lambda each: each.control))
