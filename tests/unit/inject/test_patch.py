import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringfence.inject import patch


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ((), ""),
        (("metadata", "labels", "ringfence.dev/identity"), "/metadata/labels/ringfence.dev~1identity"),
        (("a~b",), "/a~0b"),
        (("~1",), "/~01"),
        (("a/~b",), "/a~1~0b"),
        (("",), "/"),
    ],
)
def test_pointer(path: tuple[str, ...], expected: str) -> None:
    assert patch.pointer(path) == expected


@given(st.text(max_size=20), st.text(max_size=5))
def test_any_name_can_be_set(name: str, value: str) -> None:
    assert jsonpatch.apply_patch({"labels": {}}, [patch.add(("labels", name), value)]) == {"labels": {name: value}}
