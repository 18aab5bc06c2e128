"""Files, directories and standard input become documents that know where they stand."""

import io
import json
from pathlib import Path

import pytest
from ringfence.cli import documents
from ringfence.cli.documents import Document
from ringfence.cli.problems import BadInput

NOTHING = io.BytesIO()


def read(*names: Path | str, stdin: bytes = b"") -> list[Document]:
    return list(documents.read([str(name) for name in names], io.BytesIO(stdin)))


def refusal(*names: Path | str, stdin: bytes = b"") -> str:
    with pytest.raises(BadInput) as caught:
        read(*names, stdin=stdin)
    return str(caught.value)


def test_a_directory_is_read_by_name_with_all_below(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "two.yml").write_text("n: 2")
    (tmp_path / "c.json").write_text('{"n": 3}')
    (tmp_path / "a.YAML").write_text("n: 1")
    (tmp_path / "notes.txt").write_text("n: [")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "x.yaml").write_text("n: [")
    (tmp_path / ".hidden.yaml").write_text("n: [")
    assert [document.value["n"] for document in read(tmp_path)] == [1, 3, 2]
    assert all(document.found for document in read(tmp_path))


def test_a_mounted_config_map_is_read_once(tmp_path: Path) -> None:
    real = tmp_path / "..2026"
    real.mkdir()
    (real / "a.yaml").write_text("n: 1")
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / "a.yaml").symlink_to("..data/a.yaml")
    assert len(read(tmp_path)) == 1


def test_a_circle_of_links_ends(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("n: 1")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert len(read(tmp_path)) == 1


def test_what_is_named_twice_is_read_once(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("n: 1")
    assert len(read(file, tmp_path, file)) == 1
    assert len(read("-", "-", stdin=b"n: 1")) == 1


def test_a_named_file_counts_whatever_its_suffix(tmp_path: Path) -> None:
    file = tmp_path / "policy"
    file.write_text("n: 1")
    (document,) = read(file)
    assert not document.found
    assert document.place == f"{file}:1"


def test_lists_are_taken_apart(tmp_path: Path) -> None:
    file = tmp_path / "list.yaml"
    file.write_text(
        "apiVersion: v1\nkind: List\nitems:\n- {kind: A}\n"
        "- kind: PodList\n  apiVersion: v1\n  items:\n  - metadata: {name: p}\n"
    )
    first, second = read(file)
    assert first.value == {"kind": "A"}
    assert second.value == {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}
    assert second.place == f"{file}:8"
    assert second.problem("is bad", field="metadata.name").line == 8


def test_a_kind_that_only_ends_like_a_list_is_itself(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("kind: AllowList\nspec: {}\n")
    assert [document.value["kind"] for document in read(file)] == ["AllowList"]


def test_all_problems_of_all_files_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: [")
    (tmp_path / "b.json").write_text('{"a": 1,,}')
    (tmp_path / "c.yaml").write_bytes(b"ok: 1\nbad: \xff\n")
    told = refusal(tmp_path, tmp_path / "missing.yaml").splitlines()
    assert [line.removeprefix(str(tmp_path)).split(" ")[0] for line in told] == [
        "/a.yaml:2:",
        "/b.json:1:",
        "/c.yaml:2:",
        "/missing.yaml:",
    ]
    assert "byte 0xff is not UTF-8" in told[2]
    assert "No such file or directory" in told[3]


@pytest.mark.parametrize("content", [b"", b"\n\n", b"---\n---\n", b"# only words\n", b"null\n", b"\xef\xbb\xbf"])
def test_nothing_is_no_answer(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "empty.yaml").write_bytes(content)
    assert "no documents in there" in refusal(tmp_path / "empty.yaml")


def test_an_empty_directory_is_no_answer(tmp_path: Path) -> None:
    assert "no documents in there" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["", "a\0b", "/dev/null/x", "x" * 5000])
def test_names_that_cannot_be_files(name: str) -> None:
    assert "cannot be read" in refusal(name)


def test_utf_16_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes("a: 1".encode("utf-16"))
    assert "not UTF-8" in refusal(tmp_path)


def test_items_that_are_no_list() -> None:
    assert "<stdin>:2: items is no list" in refusal("-", stdin=b"kind: List\nitems: 3\n")


def test_one_object_may_not_be_larger_than_the_api_server_takes() -> None:
    large = "x" * documents.MAX_OBJECT
    told = refusal("-", stdin=f"a: 1\n---\nb: {large}\n".encode())
    assert "<stdin>:3: an object of more than 1 MiB" in told
    item = json.dumps({"kind": "List", "items": [{"kind": "Small"}, {"kind": "Large", "x": large}]})
    assert "more than 1 MiB" in refusal("-", stdin=item.encode())


def test_a_list_of_many_small_objects_may_be_large() -> None:
    items = [{"kind": "Pod", "n": number, "x": "y" * 1000} for number in range(1500)]
    assert len(read("-", stdin=json.dumps({"kind": "List", "items": items}).encode())) == 1500


def test_a_file_that_never_ends_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MAX_FILE", 1 << 20)
    assert "is larger than 1 MiB" in refusal("/dev/zero")
