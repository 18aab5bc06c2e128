"""Image references: what runtimes make of a text, and what they would not take."""

import pytest
from ringfence.model import image_reference
from ringfence.model.image_reference import ImageReference

_SHA256 = "sha256:" + "0123456789abcdef" * 4
_SHA512 = "sha512:" + "0123456789abcdef" * 8


MEANT = [
    ("nginx", ImageReference("docker.io", "library/nginx")),
    ("nginx:1.27", ImageReference("docker.io", "library/nginx", "1.27")),
    ("team/app", ImageReference("docker.io", "team/app")),
    ("docker.io/nginx", ImageReference("docker.io", "library/nginx")),
    ("docker.io/team/app", ImageReference("docker.io", "team/app")),
    ("index.docker.io/nginx", ImageReference("docker.io", "library/nginx")),
    ("registry.example/app", ImageReference("registry.example", "app")),
    (
        "registry.example:5000/a/b_c/d__e/f-g/h--i/j.k",
        ImageReference("registry.example:5000", "a/b_c/d__e/f-g/h--i/j.k"),
    ),
    ("registry:5000/app:v1", ImageReference("registry:5000", "app", "v1")),
    # No slash after the colon: a tag, and no port.
    ("registry:5000", ImageReference("docker.io", "library/registry", "5000")),
    # No slash at all: a repository of Docker Hub that has a dot in its name.
    ("registry.example", ImageReference("docker.io", "library/registry.example")),
    ("localhost/app", ImageReference("localhost", "app")),
    ("localhost:5000/app", ImageReference("localhost:5000", "app")),
    # Upper case cannot be a repository of Docker Hub, so it is a host; hosts know no case.
    ("REGISTRY.Example/app", ImageReference("registry.example", "app")),
    ("Registry/app", ImageReference("registry", "app")),
    # A runtime asks the host as it is written, and adds "library" to the exact name of Docker Hub only.
    ("Docker.IO/nginx", ImageReference("docker.io", "nginx")),
    ("[2001:db8::1]:5000/app:v1", ImageReference("[2001:db8::1]:5000", "app", "v1")),
    ("10.0.0.1:5000/app", ImageReference("10.0.0.1:5000", "app")),
    (f"nginx@{_SHA256}", ImageReference("docker.io", "library/nginx", "", _SHA256)),
    (f"registry.example:5000/app:v1@{_SHA256}", ImageReference("registry.example:5000", "app", "v1", _SHA256)),
    (f"app@{_SHA512}", ImageReference("docker.io", "library/app", "", _SHA512)),
    ("nginx:_Latest-1.0", ImageReference("docker.io", "library/nginx", "_Latest-1.0")),
    ("registry.example.evil.example/app", ImageReference("registry.example.evil.example", "app")),
    ("evil.example/registry.example/app", ImageReference("evil.example", "registry.example/app")),
    ("registry.example-evil/app", ImageReference("registry.example-evil", "app")),
]


@pytest.mark.parametrize(("text", "expected"), MEANT)
def test_is_read_as_runtimes_read_it(text: str, expected: ImageReference) -> None:
    assert image_reference.parse(text) == expected


WRONG = [
    "",
    " nginx",
    "nginx ",
    "nginx\n",
    "nginx\x00",
    "Nginx",
    "team/App",
    "registry.example/App",
    # Cyrillic letters that look like Latin ones, a full-width dot, a zero-width space, a soft hyphen.
    "r\u0435gistry.example/app",
    "registry\uff0eexample/app",
    "registry.example\u200b/app",
    "registry.exam\u00adple/app",
    "registry.example/\u0430pp",
    "registry.example./app",
    ".registry.example/app",
    "registry..example/app",
    "-registry.example/app",
    "registry.example:/app",
    "registry.example:port/app",
    "registry.example:5000:6000/app",
    "user@registry.example/app",
    "user:password@registry.example/app",
    "https://registry.example/app",
    "//registry.example/app",
    "registry.example//app",
    "registry.example/app/",
    "/app",
    "registry.example/../app",
    "registry.example/./app",
    "registry.example/a/../../evil/app",
    "registry.example/app%2fevil",
    "registry.example\\app",
    "registry.example/app?x=y",
    "registry.example/app#x",
    "registry.example/a___b",
    "registry.example/a..b",
    "registry.example/-a",
    "registry.example/a-",
    "nginx:",
    "nginx:-1",
    "nginx:1:2",
    "nginx:" + "1" * 129,
    "nginx@",
    "nginx@sha256",
    "nginx@sha256:",
    "nginx@" + _SHA256[:-1],
    "nginx@" + _SHA256 + "0",
    "nginx@" + _SHA256.upper(),
    "nginx@sha256:" + "ABCDEF" * 10 + "0123",
    "nginx@md5:" + "0" * 32,
    "nginx@" + _SHA256 + "@" + _SHA256,
    "nginx@" + _SHA256 + ":tag",
    "@" + _SHA256,
    ":tag",
    # The id of an image on the node, in full and shortened: a runtime looks for it there, wherever it came from.
    "0123456789abcdef" * 4,
    _SHA256,
    "sha256:0123",
    "sha512:0123",
    "registry.example/" + "a" * 256,
    "r" * 256 + ".example/a",
    "a" * 2_000_000,
    "/" * 100_000,
    "a-" * 100_000,
]


@pytest.mark.parametrize("text", WRONG)
def test_refuses_what_no_runtime_would_take_as_a_reference(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        image_reference.parse(text)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("nginx", "docker.io/library/nginx"),
        (f"REGISTRY.example:5000/app:v1@{_SHA256}", f"registry.example:5000/app:v1@{_SHA256}"),
    ],
)
def test_is_written_in_full_and_reads_back_the_same(text: str, written: str) -> None:
    reference = image_reference.parse(text)

    assert str(reference) == written
    assert image_reference.parse(written) == reference


def test_its_name_is_registry_and_repository() -> None:
    assert image_reference.parse(f"nginx:1@{_SHA256}").name == "docker.io/library/nginx"
