"""Requests that may be sent, in few words that say it exactly: what rules allow, as written, less what is denied."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Final

from ringfence.model.effective import EffectiveRule
from ringfence.policy.algebra import diagram, dimensions
from ringfence.policy.algebra.diagram import NOTHING, Cube, Diagram, intersect, subtract, union
from ringfence.policy.algebra.ports import Names
from ringfence.policy.algebra.texts import TextSet
from ringfence.policy.algebra.values import Attribute
from ringfence.policy.reasoning import wording
from ringfence.policy.reasoning.side import requests_of

_GRPC: Final = TextSet.starting(("application/grpc",))
_CONTENT_TYPE: Final = "header:content-type"
#: How a text begins that says nothing of method and path.
_CONDITIONS: Final = ("with ", "within ", "outside ")
_SAID: Final = {
    each.name
    for each in (
        dimensions.PORT,
        dimensions.TRAFFIC,
        dimensions.HOST,
        dimensions.METHOD,
        dimensions.PATH,
        dimensions.UPGRADE,
    )
}


def written(rule: EffectiveRule, names: Names) -> Iterator[Diagram]:
    """The requests that a rule names, in the parts in which they are written; together all of them."""
    if rule.requests is None or not rule.requests.http:
        yield requests_of(rule, names)
        return
    for match in rule.requests.http:
        yield requests_of(replace(rule, requests=replace(rule.requests, http=(match,))), names)


def sentences(requests: Diagram, parts: Iterable[Diagram], names: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Texts that together say exactly ``requests``; they may overlap. Ports are told where they are not all the same.

    ``parts`` are sets in whose terms it is said where that can be: those that rules name. ``names`` are those of ports
    whose number is not known.
    """
    found: list[str] = []
    said: Diagram = NOTHING
    for part in parts:
        inside = intersect(part, requests)
        if subtract(inside, said) is not NOTHING:
            found += _part(part, inside, names)
            said = union((said, inside))
    found += (_cube(each, names) for each in diagram.cubes(subtract(requests, said)))
    return tuple(dict.fromkeys(f"requests {each}" if each.startswith(_CONDITIONS) else each for each in found))


def _part(whole: Diagram, inside: Diagram, names: tuple[str, ...]) -> list[str]:
    """What is left of a part: said directly, or as the part without what is missing, whichever is shorter."""
    direct = [_cube(each, names) for each in diagram.cubes(inside)]
    cubes = list(diagram.cubes(whole))
    missing = list(diagram.cubes(subtract(whole, inside)))
    if len(cubes) != 1 or not missing:
        return direct
    differing = ({name: values for name, values in each.items() if cubes[0].get(name) != values} for each in missing)
    without = f"{_cube(cubes[0], names)} but not {' nor '.join(_cube(each, names) for each in differing)}"
    return [without] if len(without) < sum(map(len, direct)) else direct


def _cube(cube: Cube, names: tuple[str, ...]) -> str:
    words = " ".join(_words(cube))
    if (ports := cube.get(dimensions.PORT.name)) is None:
        return words or "every request"
    told = ", ".join(ports.told(names))
    return f"{told}: {words}" if words else told


def _words(cube: Cube) -> Iterator[str]:
    if (methods := cube.get(dimensions.METHOD.name)) is not None:
        yield wording.method_text(methods)
    if (paths := cube.get(dimensions.PATH.name)) is not None:
        yield wording.path_text(paths)
    if any(_is_grpc(name, values) for name, values in cube.items()):
        yield "in gRPC"
    conditions = list(_conditions(cube))
    if conditions:
        yield f"with {' and '.join(conditions)}"
    yield from wording.phrases({name: values for name, values in cube.items() if not _said(name)})


def _is_grpc(name: str, values: Any) -> bool:
    return name == _CONTENT_TYPE and values == Attribute(_GRPC, several=True)


def _said(name: str) -> bool:
    """Whether the words here say all of a dimension; of any other those of ``wording`` do."""
    return name in _SAID or name.startswith(dimensions.OF_TOKENS) or _is_attribute(name)


def _is_attribute(name: str) -> bool:
    """Whether it is of one named thing, like ``header:x-env``."""
    return name.partition(":")[0].isalpha() and ":" in name and " " not in name


def _conditions(cube: Cube) -> Iterator[str]:
    upgrade = cube.get(dimensions.UPGRADE.name)
    if upgrade is not None and upgrade != dimensions.NO_UPGRADE:
        yield wording.upgrade_text(upgrade)
    for name, values in cube.items():
        if name.startswith(dimensions.OF_TOKENS):
            yield from _of_token(name, cube)
        elif name == dimensions.HOST.name or (_is_attribute(name) and not _is_grpc(name, values)):
            yield f"{name.replace(':', ' ', 1)} {wording.attribute_text(values)}"


def _of_token(name: str, cube: Cube) -> Iterator[str]:
    """What is asked of a token; not which version of its issuer, since there is one only."""
    text = wording.token_text(name, cube)
    if ": " not in name:
        text = text.rpartition(" (")[0]
    if text:
        yield f"no {text.removeprefix('a ')}" if cube[name].absent else text


def data(requests: Diagram) -> list[dict[str, Any]]:
    """Requests on a port that is known for programs: a mapping for each of disjoint sets."""
    return [{key: value for key, value in each.items() if key != "ports"} for each in wording.data(requests)]
