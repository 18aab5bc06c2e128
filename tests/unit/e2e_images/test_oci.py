"""Image layouts: equal input is equal bytes, and the digests are true."""

import gzip
import hashlib
import json
import tarfile
from pathlib import Path

from e2e.images import listing, oci
from e2e.images.static import StaticImage


def _layer(directory: Path, name: str, files: dict[str, str]) -> oci.Layer:
    def fill(tar: tarfile.TarFile) -> None:
        for path, text in files.items():
            source = directory / "source"
            source.write_text(text)
            oci.add_file(tar, path, source, 0o644)

    return oci.write_layer(directory / name, fill)


def test_equal_input_is_equal_bytes(tmp_path: Path) -> None:
    first, second = (_layer(tmp_path, name, {"a": "1", "b": "2"}) for name in ("first", "second"))
    assert first.file.read_bytes() == second.file.read_bytes()
    assert _layer(tmp_path, "third", {"a": "1", "b": "3"}).digest != first.digest


def test_digests_are_those_of_the_bytes(tmp_path: Path) -> None:
    layer = _layer(tmp_path, "layer", {"a": "x" * 100_000})
    packed = layer.file.read_bytes()
    assert layer.digest == f"sha256:{hashlib.sha256(packed).hexdigest()}"
    assert layer.diff_id == f"sha256:{hashlib.sha256(gzip.decompress(packed)).hexdigest()}"
    assert layer.size == len(packed)


def test_layout_names_its_blobs_by_their_digests(tmp_path: Path) -> None:
    layers = [_layer(tmp_path, "one", {"a": "1"})]
    layout = tmp_path / "layout"
    digest = oci.write_layout(layout, layers, oci.Config(entrypoint=("/a",), user="65532", labels={"b": "2"}))
    for blob in (layout / "blobs" / "sha256").iterdir():
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name
    manifest = json.loads((layout / "blobs" / digest.replace(":", "/")).read_text())
    config = json.loads((layout / "blobs" / manifest["config"]["digest"].replace(":", "/")).read_text())
    assert config["config"] == {"Entrypoint": ["/a"], "User": "65532", "Labels": {"b": "2"}}
    assert config["rootfs"]["diff_ids"] == [layers[0].diff_id]


def test_listing_shows_the_topmost_file_of_each_name(tmp_path: Path) -> None:
    layers = [_layer(tmp_path, "one", {"b": "old", "a": "1"}), _layer(tmp_path, "two", {"b": "new"})]
    layout = tmp_path / "layout"
    oci.write_layout(layout, layers, oci.Config())
    content = {"a": hashlib.sha256(b"1").hexdigest(), "b": hashlib.sha256(b"new").hexdigest()}
    assert listing.of_layout(layout) == [f"0644 0:0 {content[name]} /{name}" for name in ("a", "b")]


def test_differences_are_marked_and_sorted_by_name() -> None:
    ours = ["0644 0:0 aa /a", "0644 0:0 bb /b", "0644 0:0 cc /c"]
    theirs = ["0644 0:0 aa /a", "0755 0:0 bb /b", "0644 0:0 dd /d"]
    found = listing.differences(ours, theirs)
    assert [line.split()[-1] for line in found] == ["/b", "/b", "/c", "/d"]
    assert {line[0] for line in found[:2]} == {"-", "+"}
    assert listing.differences(ours, list(ours)) == []


def test_static_images_run_as_nobody_unless_told() -> None:
    assert StaticImage("any").user == "65532:65532"
