"""Whatever the files hold, the command answers or says what is wrong: never a traceback, never a defect."""

import contextlib
import copy
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ringfence.cli import documents, main

GOLDEN = Path(__file__).parents[2] / "golden" / "cli"
VALUES = [
    document.value
    for name in ("shop.in.yaml", "pods.in.yaml")
    for document in documents.read([str(GOLDEN / name)], io.BytesIO())
]
COMMANDS = st.sampled_from(
    [
        ("compile",),
        ("compile", "-o", "json", "-v"),
        ("admit",),
        ("admit", "-o", "yaml"),
        ("can-i", "shop/web", "shop/api"),
        ("can-i", "zone:front", "zone:back", "-o", "json"),
        ("can-i", "ip:10.0.0.1", "shop/web", "--port", "http"),
    ]
)
WORDS = st.sampled_from(
    ["", "a", "shop", "web", "*", "10.0.0.0/8", "\x1b[2J", "x" * 300, "ringfence.dev/zone", "0", "\u2028"]
)
ODD = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 70000) | st.just(1e300) | st.just(2**80) | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=4,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value in a value."""
    found = [path]
    if isinstance(value, dict):
        for key, each in value.items():
            found += places(each, (*path, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            found += places(each, (*path, index))
    return found


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """The value with another one at ``path``."""
    if not path:
        return new
    result = copy.deepcopy(value)
    here = result
    for key in path[:-1]:
        here = here[key]
    here[path[-1]] = new
    return result


PLACES = [(index, path) for index, value in enumerate(VALUES) for path in places(value)]


def answer(text: str, command: tuple[str, ...], file: Path) -> tuple[int, str]:
    """Exit status, and what was said about it."""
    file.write_text(text)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main.main([*command, "-f", str(file), *(["--against", "files"] if command[0] == "admit" else [])], {})
    return status, err.getvalue()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("any") / "input.yaml"


def sound(status: int, said: str, command: tuple[str, ...]) -> None:
    assert status in ({0, 2} if command[0] == "compile" else {0, 1, 2})
    assert "defect" not in said, said
    assert "\x1b" not in said
    assert status != 2 or "error: " in said


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.sampled_from(PLACES), ODD, COMMANDS)
def test_one_odd_value_anywhere(
    file: Path, place: tuple[int, tuple[Any, ...]], odd: Any, command: tuple[str, ...]
) -> None:
    index, path = place
    values = [*VALUES[:index], changed(VALUES[index], path, odd), *VALUES[index + 1 :]]
    sound(*answer("\n---\n".join(json.dumps(value) for value in values), command, file), command)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.data(), COMMANDS)
def test_text_cut_and_mended_badly(file: Path, data: st.DataObject, command: tuple[str, ...]) -> None:
    text = (GOLDEN / "shop.in.yaml").read_text()
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 40)))
    piece = data.draw(st.text(alphabet="{}[]:-,&*!|>'\"%@`#? \n\tabc0129\x00\x85\u2028é", max_size=6))
    sound(*answer(text[:start] + piece + text[end:], command, file), command)
