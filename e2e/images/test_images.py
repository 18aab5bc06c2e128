"""Ringfence's image, and the way of building images without Docker, tried for real (as root, with a Debian mirror)."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from e2e.cluster import debian
from e2e.cluster.errors import ClusterError
from e2e.images import build, listing
from e2e.images.build import Image

pytestmark = pytest.mark.node

_IGNORE = "*\n!files\n"
_SMALL = """\
FROM debian:trixie AS build
ENV GREETING=hello
WORKDIR /work
COPY files/ /work/
RUN mkdir -p /out/deep && cat text > /out/deep/file && echo "$GREETING" >> /out/deep/file \\
 && id -u > /out/user && pwd > /out/directory && ln -s deep/file /out/link && chmod 0750 /out/deep
FROM scratch
COPY --from=build /out/ /data/
USER 65532:65532
ENTRYPOINT ["/data/link"]
"""


@pytest.fixture(scope="module", autouse=True)
def tools() -> None:
    """mmdebstrap and the like."""
    debian.ensure()


def _project(root: Path, dockerfile: str, text: str = "text\n") -> Image:
    (root / "files").mkdir(exist_ok=True)
    (root / "files" / "text").write_text(text)
    (root / "Dockerfile").write_text(dockerfile)
    (root / "Dockerfile.dockerignore").write_text(_IGNORE)
    return Image("small", "Dockerfile")


def _image(layout: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The manifest and the configuration."""
    index = json.loads((layout / "index.json").read_text())
    manifest = _blob(layout, index["manifests"][0]["digest"])
    return manifest, _blob(layout, manifest["config"]["digest"])


def _blob(layout: Path, digest: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((layout / "blobs" / digest.replace(":", "/")).read_text())
    return found


def _names(layout: Path) -> list[str]:
    return [
        line.split(" ", 3)[-1] if "->" not in line else line.rsplit(" ", 1)[-1] for line in listing.of_layout(layout)
    ]


def test_instructions_do_what_they_do_in_docker(tmp_path: Path) -> None:
    layout = build.build(_project(tmp_path, _SMALL), tmp_path)
    lines = {line.rsplit(" ", 1)[-1]: line for line in listing.of_layout(layout)}
    assert sorted(lines) == ["/data", "/data/deep", "/data/deep/file", "/data/directory", "/data/link", "/data/user"]
    assert lines["/data/deep"].startswith("0750 0:0 directory")
    assert "-> deep/file" in lines["/data/link"]
    _, config = _image(layout)
    assert config["config"] == {"User": "65532:65532", "Entrypoint": ["/data/link"]}
    for name, content in (("deep/file", "text\nhello\n"), ("user", "0\n"), ("directory", "/work\n")):
        assert hashlib.sha256(content.encode()).hexdigest() in lines[f"/data/{name}"]


def test_equal_sources_are_one_image_and_a_change_makes_another(tmp_path: Path) -> None:
    first = build.build(_project(tmp_path, _SMALL), tmp_path)
    assert build.build(_project(tmp_path, _SMALL), tmp_path) == first
    assert build.build(_project(tmp_path, _SMALL, "other\n"), tmp_path) != first


def test_a_command_that_fails_says_what_it_said_and_is_not_kept(tmp_path: Path) -> None:
    failing = "FROM debian:trixie\nRUN echo the reason; exit 3\n"
    for _ in range(2):
        with pytest.raises(ClusterError, match=r"RUN echo the reason; exit 3\nended with 3:\nthe reason"):
            build.build(_project(tmp_path, failing), tmp_path)


def test_a_base_that_only_docker_knows_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="FROM alpine:3: without Docker"):
        build.build(_project(tmp_path, "FROM alpine:3\nRUN true\n"), tmp_path)


def test_our_image_holds_no_shell_no_package_manager_and_no_compiler() -> None:
    names = _names(build.build(build.IMAGES[0]))
    programs = {name.rsplit("/", 1)[-1] for name in names if "/bin/" in name or "/sbin/" in name}
    assert {"python3.13", "ringfence"} <= programs
    assert (
        programs & {"sh", "bash", "dash", "busybox", "apt", "apt-get", "dpkg", "pip", "pip3", "gcc", "cc", "ld"}
        == set()
    )


def test_our_images_files_belong_to_root_and_nobody_else_may_write_them() -> None:
    lines = [line for line in listing.of_layout(build.build(build.IMAGES[0])) if "->" not in line]
    modes = [(int(mode, 8), owner, name) for mode, owner, _, name in (line.split(" ", 3) for line in lines)]
    assert [name for mode, _, name in modes if mode & 0o6000] == []
    assert [name for mode, _, name in modes if mode & 0o022 and mode != 0o1777] == []
    assert [name for _, owner, name in modes if owner != "0:0"] == []


def test_our_image_starts_as_nobody() -> None:
    manifest, config = _image(build.build(build.IMAGES[0]))
    assert config["config"]["User"] == "65532:65532"
    assert config["config"]["Entrypoint"] == ["ringfence"]
    # Python, the locked packages, Ringfence: a change of Ringfence leaves the others as they are.
    assert len(manifest["layers"]) == 3


def test_the_proxys_image_holds_envoy_and_no_shell() -> None:
    layout = build.build(build.IMAGES[1])
    programs = {name.rsplit("/", 1)[-1] for name in _names(layout) if "/bin/" in name or "/sbin/" in name}
    assert "envoy" in programs
    assert programs & {"sh", "bash", "dash", "busybox", "curl", "python3", "apt", "dpkg"} == set()
    _, config = _image(layout)
    assert config["config"]["User"] == "65532:65532"
    assert "/usr/local/bin/envoy" in _names(layout)
