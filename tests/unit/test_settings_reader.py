"""A settings file that cannot be read as a whole is refused in a sentence that says why."""

from pathlib import Path

import pytest
from ringfence import settings, settings_reader
from ringfence.model.errors import FieldError


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xc9\x00binary", "is not UTF-8: byte 0xc9"),
        (b"a: \x00", "is not YAML: "),
        (b"a: [\n", "is not YAML in line 2: expected the node content, but found '<stream end>'"),
        (b"a: 1\n---\nb: 2\n", "is not YAML in line 2: but found another document"),
        (b"a:\n\tb: 1\n", "is not YAML in line 2: found character '\\t' that cannot start any token"),
        (b"a: " + b"[" * 1500, "is nested too deeply"),
        (b"podCIDRs: [10.0.0.0/8]\npodCIDRs: []\n", "is not YAML in line 2: podCIDRs is given twice"),
        (b"proxy: {enabled: true, enabled: false}", "is not YAML in line 1: enabled is given twice"),
        (b"a: 2027-13-45\n", "is not YAML: month must be in 1..12"),
        (b"- a list", "is not a mapping"),
        (b"text", "is not a mapping"),
        (b"0", "is not a mapping"),
    ],
)
def test_what_is_no_settings_file_is_told_in_one_line(content: bytes, message: str, tmp_path: Path) -> None:
    found = settings_reader.document(content)
    assert isinstance(found, FieldError)
    assert found.path == "file"
    assert found.message.startswith(message)
    assert found.fix
    assert "\n" not in str(found)
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    with pytest.raises(settings.InvalidSettings) as refused:
        settings.load(path, {})
    assert str(refused.value) == f"{path}: {found}"


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"---\n", b"{}", b"\xef\xbb\xbf{}"])
def test_an_empty_file_has_no_settings(content: bytes) -> None:
    assert settings_reader.document(content) == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("podCIRDs: []", "podCIRDs: no such setting (did you mean podCIDRs? one of apiServer, "),
        ("trustdomain: x", "trustdomain: no such setting (did you mean trustDomain? "),
        ("proxy: {enable: false}", "proxy.enable: no such key (did you mean enabled? one of concurrency, "),
        ("zzz: 1", "zzz: no such setting (one of apiServer, "),
    ],
)
def test_what_was_probably_meant_is_said(text: str, said: str) -> None:
    with pytest.raises(settings.InvalidSettings) as refused:
        settings.parse(text, {})
    assert said in str(refused.value)
