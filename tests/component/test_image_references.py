"""Image references mean here what they mean to the library of the container runtimes: its Go module, built here."""

import json
import random
import subprocess
from pathlib import Path

import pytest
from ringfence.model import image_reference

from tests.component import programs
from tests.unit.model import test_image_reference as known

pytestmark = pytest.mark.component

SHA256 = "sha256:" + "0123456789abcdef" * 4
PIECES = [
    *(
        "nginx",
        "library",
        "docker.io",
        "index.docker.io",
        "Docker.io",
        "registry.example",
        "localhost",
        "REG",
        "10.0.0.1",
    ),
    *(
        ":5000",
        ":",
        "/",
        "//",
        "@",
        ".",
        "..",
        "-",
        "--",
        "_",
        "__",
        "___",
        "a",
        "Z",
        "9",
        "0",
        "v1",
        "latest",
        "%",
        "+",
    ),
    *(
        "[::1]",
        "[2001:db8::1]",
        "[",
        "]",
        "\u00e9",
        "\u0430",
        " ",
        "\n",
        "x" * 130,
        "0123456789abcdef" * 4,
        "md5:",
        "sha256:",
    ),
    *(SHA256, "sha384:" + "0123456789abcdef" * 6, "sha512:" + "0123456789abcdef" * 8),
]


def texts() -> list[str]:
    """Those of the unit tests, pieces of references put together, and short ones of the letters that matter."""
    drawn = random.Random(1)  # noqa: S311 (the same texts every time)
    found = {*(text for text, _ in known.MEANT), *(text for text in known.WRONG if len(text) < 10_000)}
    found.update("".join(drawn.choices(PIECES, k=drawn.randint(1, 7))) for _ in range(40_000))
    found.update("".join(drawn.choices("abA./:@-_0", k=drawn.randint(1, 10))) for _ in range(40_000))
    return sorted(found)


def theirs(program: Path, asked: list[str]) -> list[tuple[str, ...]]:
    lines = "\n".join(json.dumps(text) for text in asked)
    done = subprocess.run([str(program)], input=lines.encode(), capture_output=True, check=True, timeout=120)
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def ours(text: str) -> tuple[str, ...]:
    try:
        made = image_reference.parse(text)
    except ValueError:
        return ()
    return made.registry, made.repository, made.tag, made.digest


def stricter(text: str, meant: tuple[str, ...]) -> bool:
    """What we refuse on purpose: ids of images, no host or one that is too long before the first slash."""
    return text.partition(":")[0] in {"sha256", "sha384", "sha512"} or not meant[0] or len(meant[0]) > 255


@pytest.mark.timeout(600)
def test_every_text_means_the_same() -> None:
    program = programs.references()
    asked = texts()
    agreed = 0
    for text, meant in zip(asked, theirs(program, asked), strict=True):
        if meant and stricter(text, meant):
            assert ours(text) == (), text
            continue
        # A host knows no case; the library keeps it as it is written.
        expected = (meant[0].lower(), *meant[1:]) if meant else ()
        assert ours(text) == expected, text
        agreed += bool(meant)
    assert agreed > 1_500
    print(f"image references: {len(asked)} texts, {agreed} of them references to both")
