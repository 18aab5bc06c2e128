"""What holds for proxies inside the API server: a pod of an enrolled namespace has one, and nobody takes what is its.

The webhook compares the whole proxy; this looks at what makes it one, so that a pod never runs without it, whatever
happens to the webhooks' configuration.
"""

from typing import Final

from ringfence.inject.injection import Injection
from ringfence.inject.sidecar import PROGRAM
from ringfence.model import proxy
from ringfence.translate import cel
from ringfence.translate.backstop.form import Validation

_NAME: Final = cel.literal(proxy.CONTAINER)
_SPEC: Final = "dyn(object)[?'spec']"
_EARLIER: Final = "dyn(oldObject)[?'spec'][?'ephemeralContainers']"


def variables() -> dict[str, str]:
    """For the policy of pods, after its own."""
    return {
        "inits": _list(_field("initContainers")),
        "arrives": cel.both("variables.creates", "variables.enrolled", "!variables.mirror"),
        # Where there is no place for a proxy, the webhook asks who has signed for that.
        "proxied": cel.both(
            "variables.arrives",
            f"!{_SPEC}[?'hostNetwork'].orValue(false)",
            f"{_SPEC}[?'os'][?'name'].orValue('') != 'windows'",
        ),
        "beside": f"{_list(_field('containers'))} + {_list(_field('ephemeralContainers'))} + "
        f"variables.inits.filter(c, c.name != {_NAME} || c[?'restartPolicy'].orValue('') != 'Always')",
        # Debug containers that a pod did not have before; nothing that is bound has an object of before.
        "debuggers": f"oldObject == null || !variables.enrolled ? [] : {_list(_field('ephemeralContainers'))}"
        f".filter(c, !(c.name in {_list(_EARLIER)}.map(o, o.name)))",
        "sidecars": f"variables.inits.filter(c, c.name == {_NAME})",
        "proxyUser": "variables.sidecars.size() == 1 "
        "? variables.sidecars[0][?'securityContext'][?'runAsUser'].orValue(0) : -1",
        "wholeUser": f"{_SPEC}[?'securityContext'][?'runAsUser'].orValue(-2)",
    }


def validations(how: Injection) -> list[Validation]:
    """For the policy of pods."""
    return [*_is_there(how), *_is_nobodys()]


def _is_there(how: Injection) -> list[Validation]:
    """The proxy is what Ringfence adds, first of all, and nothing else is called so."""
    first = "variables.inits[0]"
    return [
        Validation(
            cel.either(
                "!variables.arrives",
                cel.both(
                    f"variables.beside.all(c, c.name != {_NAME})",
                    cel.either("variables.proxied", "variables.sidecars == []"),
                ),
            ),
            f"the name {proxy.CONTAINER} is for Ringfence's proxy; choose another",
        ),
        Validation(
            cel.either(
                "!variables.proxied",
                cel.both(
                    f"variables.sidecars.size() == 1 && {first}.name == {_NAME}",
                    f"{first}[?'image'].orValue('') == {cel.literal(how.settings.image)}",
                    f"{first}[?'restartPolicy'].orValue('') == 'Always'",
                    f"{first}[?'command'].orValue([]) == {cel.literal([PROGRAM])}",
                    f"{first}[?'startupProbe'][?'httpGet'][?'port'].orValue(0) == {proxy.GATE_PORT}",
                ),
            ),
            f"init container {proxy.CONTAINER} must come first, with image {how.settings.image}, as Ringfence's "
            "webhook adds it; while that is away no pod comes into an enrolled namespace: try again",
        ),
    ]


def _is_nobodys() -> list[Validation]:
    """What is the proxy's no program takes: its user, volumes, processes and token."""
    volumes = cel.literal(sorted(proxy.RESERVED_VOLUMES))
    return [
        Validation(
            cel.either(
                "!variables.proxied && variables.debuggers == []",
                f"({_JUDGED}).all(c, "
                "c[?'securityContext'][?'runAsUser'].orValue(variables.wholeUser) != variables.proxyUser)",
            ),
            "a container runs as the user of its pod's proxy, past which it could go; use another user",
        ),
        Validation(
            cel.either(
                "!variables.proxied && variables.debuggers == []",
                f"({_JUDGED}).all(c, !{_MOUNTS}.exists(m, m.name in {volumes}))",
            ),
            "a container mounts a volume of its pod's proxy; mount another",
        ),
        Validation(
            cel.either(
                "!variables.enrolled",
                f"variables.containers.all(c, c[?'targetContainerName'].orValue('') != {_NAME})",
            ),
            "a debug container would share processes with its pod's proxy; target another container",
        ),
        Validation(
            cel.either(
                "!variables.arrives",
                f"{_list(_field('volumes'))}.all(v, variables.proxied && v.name in {volumes} || !{_SOURCES}"
                f".exists(s, s[?'serviceAccountToken'][?'audience'].orValue('') == {cel.literal(proxy.AUDIENCE)}))",
            ),
            f"tokens for the audience {proxy.AUDIENCE} are for proxies; ask for one for whom the program calls",
        ),
    ]


def _list(optional: str) -> str:
    """A list that may be absent, or null."""
    return f"(dyn({optional}.orValue([])) == null ? [] : {optional}.orValue([]))"


def _field(name: str) -> str:
    return f"{_SPEC}[?'{name}']"


_JUDGED: Final = "variables.proxied ? variables.beside : variables.debuggers"
_SOURCES: Final = _list("v[?'projected'][?'sources']")
_MOUNTS: Final = _list("c[?'volumeMounts']")
