"""The controls of images as CEL: references read as ``model.image_reference`` reads them.

A reference that a runtime would take for something else than a registry's image is broken for every control.
"""

from collections.abc import Sequence
from typing import Final

from ringfence.model.demands import ControlId
from ringfence.model.image_reference import DEFAULT_REGISTRY, LEGACY_REGISTRY, MAX_NAME, OFFICIAL
from ringfence.model.proxy import CONTAINER
from ringfence.translate import cel
from ringfence.translate.backstop.scope import BROUGHT, WHOLE, Scope, listed, optional

_LABEL: Final = "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST: Final = rf"(?:{_LABEL}(?:[.]{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
_COMPONENT: Final = "[a-z0-9]+(?:(?:[.]|__?|-+)[a-z0-9]+)*"
#: A first component with a dot is always a registry.
_FIRST: Final = "[a-z0-9]+(?:(?:__?|-+)[a-z0-9]+)*"
_TAG: Final = "(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})"
_DIGEST: Final = "(?:@(?:sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}))"
_REFERENCE: Final = rf"^(?:{_COMPONENT}|(?:{_HOST}|{_FIRST})(?:/{_COMPONENT})+){_TAG}?{_DIGEST}?$"
#: The id of an image that lies on the node.
_ID: Final = rf"^(?:sha(?:256|384|512){_TAG}?|[0-9a-f]{{64}}){_DIGEST}?$"
#: What makes the first component a registry.
_REGISTRY: Final = "^(?:localhost|[^/]*[.:A-Z][^/]*)/"
#: The longest reference, in characters.
_LONGEST: Final = 1024


def variables(proxy_image: str = "") -> dict[str, str]:
    """The references that a pod has, those that a change brings, and the names (registry and repository) of both.

    ``proxy_image`` is that of the proxies, "" where there are none: what is asked is asked of the author's containers.
    """
    image = f"{optional('c', 'image')}.orValue('')"
    volume = f"{optional('v', 'image', 'reference')}.orValue('')"
    mounted = f"variables.volumes.filter(v, {optional('v', 'image')}.hasValue()).map(v, {volume})"
    everything = "variables.everything"
    if proxy_image:
        theirs = cel.both(f"c.name == {cel.literal(CONTAINER)}", f"{image} == {cel.literal(proxy_image)}")
        everything = f"variables.everything.filter(c, !({theirs}))"
    kinds = ("initContainers", "containers", "ephemeralContainers")
    before = " + ".join(listed(f"dyn(oldObject).spec[?'{kind}']") for kind in kinds)
    # Names of containers are unique in a pod, so that name and image together tell what was there.
    known = f"({before}).map(c, c.name + ' ' + {image})"
    return {
        "allTexts": f"{everything}.map(c, {image}) + {mounted}",
        "known": f"variables.fresh ? [] : {known}",
        "texts": (
            "variables.fresh ? variables.allTexts : "
            f"{everything}.filter(c, !((c.name + ' ' + {image}) in variables.known)).map(c, {image})"
        ),
        "allNames": _names(WHOLE.texts),
        "names": _names(BROUGHT.texts),
    }


def broken(control: ControlId, places: Sequence[str], scope: Scope) -> str:
    """Whether an image breaks ``image-registries`` (``places`` are allowed) or ``image-digest``."""
    unread = f"{scope.texts}.exists(t, {_unread('t')}) || {scope.names}.exists(n, {_too_long('n')})"
    if control is ControlId.IMAGE_DIGEST:
        return cel.either(unread, f"{scope.texts}.exists(t, !t.contains('@'))")
    below = cel.literal([f"{place}/" for place in places])
    return cel.either(unread, f"{scope.names}.exists(n, !{below}.exists(place, (n + '/').startsWith(place)))")


def _unread(text: str) -> str:
    return cel.either(
        f"size({text}) > {_LONGEST}",
        f"!{text}.matches({cel.literal(_REFERENCE)})",
        f"{text}.matches({cel.literal(_ID)})",
    )


def _too_long(name: str) -> str:
    slash = f"{name}.indexOf('/')"
    return cel.either(f"{slash} > {MAX_NAME}", f"size({name}) - {slash} - 1 > {MAX_NAME}")


def _names(texts: str) -> str:
    """References without tag and digest, with the registry that is meant. What cannot be read gives anything."""
    bare = f"{texts}.map(t, t.split('@')[0])"
    untagged = f"{bare}.map(t, t.lastIndexOf(':') > t.lastIndexOf('/') ? t.substring(0, t.lastIndexOf(':')) : t)"
    first, rest = "t.substring(0, t.indexOf('/'))", "t.substring(t.indexOf('/') + 1)"
    hub = (
        f"{cel.literal(DEFAULT_REGISTRY + '/')} + ({rest}.contains('/') ? '' : {cel.literal(OFFICIAL + '/')}) + {rest}"
    )
    elsewhere = f"{first}.lowerAscii() + '/' + {rest}"
    ours = f"{first} in {cel.literal((DEFAULT_REGISTRY, LEGACY_REGISTRY))} ? {hub} : {elsewhere}"
    short = f"{cel.literal(DEFAULT_REGISTRY + '/')} + (t.contains('/') ? '' : {cel.literal(OFFICIAL + '/')}) + t"
    return f"{untagged}.map(t, t.matches({cel.literal(_REGISTRY)}) ? ({ours}) : {short})"
