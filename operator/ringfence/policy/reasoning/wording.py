"""Sets of requests in the words of people."""

from collections.abc import Iterator
from typing import Any

from ringfence.model.requests import CONNECT
from ringfence.policy.algebra import diagram, dimensions
from ringfence.policy.algebra.diagram import Cube, Diagram
from ringfence.policy.algebra.paths import PathSet
from ringfence.policy.algebra.ports import EVERY_PORT, Ports
from ringfence.policy.algebra.texts import TextSet
from ringfence.policy.algebra.values import Attribute, Methods


def lines(requests: Diagram, names: tuple[str, ...] = ()) -> tuple[str, ...]:
    """A line for each cube of a set; ``names`` are the names of ports whose number is not known."""
    return tuple(_line(cube, names) for cube in diagram.cubes(requests))


def _line(cube: Cube, names: tuple[str, ...]) -> str:
    ports: Ports = cube.get(dimensions.PORT.name, EVERY_PORT)
    rest = " ".join(filter(None, _rest(cube)))
    told = ", ".join(ports.told(names))
    return f"{told}: {rest}" if rest else told


def phrases(cube: Cube) -> tuple[str, ...]:
    """What is said of each dimension of a cube but its ports."""
    return tuple(filter(None, _rest(cube)))


def _rest(cube: Cube) -> Iterator[str]:
    if cube.get(dimensions.TRAFFIC.name) == dimensions.BYTES:
        yield "bytes that are no HTTP"
    if (methods := cube.get(dimensions.METHOD.name)) is not None and methods != dimensions.NO_TUNNEL:
        yield method_text(methods)
    if (paths := cube.get(dimensions.PATH.name)) is not None:
        yield path_text(paths)
    if (host := cube.get(dimensions.HOST.name)) is not None:
        yield f"with host {attribute_text(host)}"
    if (upgrade := cube.get(dimensions.UPGRADE.name)) is not None and upgrade != dimensions.NO_UPGRADE:
        yield f"with {upgrade_text(upgrade)}"
    if (called := cube.get(dimensions.NAME.name)) is not None:
        yield f"to hosts {host_text(called)}"
    for name, values in cube.items():
        if name.startswith(dimensions.OF_TOKENS):
            yield _of_token(name, cube)
        elif isinstance(values, Attribute) and name not in {dimensions.HOST.name, dimensions.NAME.name}:
            yield f"with {name} {attribute_text(values)}"
        elif isinstance(values, Methods) and name.startswith(dimensions.TIME):
            yield f"{values.witness()} {name.removeprefix(dimensions.TIME)}"


def _of_token(name: str, cube: Cube) -> str:
    """``with a token of corp (1f2e…)``, and behind it ``with role admin``; nothing that follows from another."""
    text = token_text(name, cube)
    return f"{'without' if cube[name].absent else 'with'} {text}" if text else ""


def token_text(name: str, cube: Cube) -> str:
    """What an attribute of tokens in a cube is: ``a token of corp (1f2e…)``, ``role admin``; "" if another says it."""
    _, colon, claim = name.partition(": ")
    there = not cube[name].absent
    if there and colon and any(other.startswith(f"{name} ") and not cube[other].absent for other in cube):
        return ""
    return claim or f"a {name}"


def method_text(methods: Methods) -> str:
    """``GET or POST``, ``every method but GET``. CONNECT is no method among others: it is told where it is named."""
    names = sorted(methods.names - {CONNECT} if methods.others else methods.names)
    if methods.others:
        return f"every method but {' and '.join(names)}" if names else "every method"
    return " or ".join(names)


def upgrade_text(upgrades: Methods) -> str:
    """``upgrade to websocket``, ``any upgrade``, ``no upgrade or upgrade to websocket``."""
    names = sorted(upgrades.names - {""})
    if upgrades.others:
        but = f" but to {' and '.join(names)}" if names else ""
        return f"any upgrade{but}" if "" in upgrades.names else f"no or any upgrade{but}"
    to = f"upgrade to {' or '.join(names)}" if names else ""
    return " or ".join(filter(None, ("no upgrade" if "" in upgrades.names else "", to)))


def path_text(paths: PathSet) -> str:
    """``/a or /b/* except /b/c``."""
    return " or ".join(map(str, paths.clauses()))


def attribute_text(values: Attribute) -> str:
    """``in (a, b)``, ``missing``, ``other than a``."""
    parts = []
    if not values.texts.empty:
        parts.append(_texts(values.texts))
    if values.several:
        parts.append("given more than once")
    if values.absent:
        parts.append("missing")
    return " or ".join(parts)


def host_text(values: Attribute) -> str:
    """``api.example.com or *.example.org but a.example.org``, ``other than those of example.com``."""
    for other, texts in (("", values.texts), ("other than ", ~values.texts)):
        named = _hosts(texts)
        if named is not None:
            return other + (" or ".join(named) or "of no name")
    return f"like {dimensions.name_of(values.texts.witness())}"


def _hosts(texts: TextSet) -> tuple[str, ...] | None:
    """Names and wildcards that are these texts together; None where they are none."""
    found: list[str] = []
    left = texts
    for suffix in sorted({first.partition("/")[0] for first, _ in texts.spans}):
        below = TextSet.starting((f"{suffix}/",))
        part, missing = (texts & below).told(), (below - texts).told()
        left -= below
        if part is not None and not part[1]:
            found += map(dimensions.name_of, part[0])
        elif part == ((), (f"{suffix}/",)):
            found.append(f"*.{suffix}")
        elif missing is not None and not missing[1]:
            found.append(f"*.{suffix} but {' and '.join(map(dimensions.name_of, missing[0]))}")
        else:
            return None
    return tuple(found) if left.empty else None


def _texts(texts: TextSet) -> str:
    for prefix, told in (("", texts.told()), ("other than ", (~texts).told())):
        if told is not None:
            singles, prefixes = told
            named = [*map(repr, singles), *(f"{each!r}…" if each else "anything" for each in prefixes)]
            return prefix + (" or ".join(named) or "nothing")
    return f"like {texts.witness()!r}"


def data(requests: Diagram, names: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """The same for programs: a mapping for each cube, without what may be anything."""
    return [dict(_cube_data(cube, names)) for cube in diagram.cubes(requests)]


def _cube_data(cube: Cube, names: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    yield "ports", list(cube.get(dimensions.PORT.name, EVERY_PORT).told(names))
    if dimensions.TRAFFIC.name in cube:
        yield "traffic", method_text(cube[dimensions.TRAFFIC.name])
    for name, values in cube.items():
        match values:
            case Methods() if name == dimensions.UPGRADE.name:
                yield name, upgrade_text(values)
            case Methods() if name == dimensions.METHOD.name and values != dimensions.NO_TUNNEL:
                yield "methods", method_text(values)
            case Methods() if name.startswith(dimensions.TIME):
                yield name, values.witness()
            case PathSet():
                yield "paths", [str(clause) for clause in values.clauses()]
            case Attribute() if name == dimensions.NAME.name:
                yield "hosts", host_text(values)
            case Attribute() if name.startswith(dimensions.OF_TOKENS):
                yield name, "missing" if values.absent else "there"
            case Attribute():
                yield name, attribute_text(values)
            case _:
                continue
