"""Which files a build sees."""

from pathlib import Path, PurePosixPath

import pytest

from e2e.cluster import paths
from e2e.images import context
from e2e.images.context import Context, Ignore


def _context(root: Path) -> Context:
    for name in ("operator/a.py", "operator/__pycache__/a.pyc", "operator/pkg/b.py", "secret.txt", "README.md"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return Context(root, Ignore(("operator", "README.md"), ("__pycache__", "*.egg-info")))


def test_only_what_is_allowed_is_seen(tmp_path: Path) -> None:
    seen = list(_context(tmp_path).files("operator/"))
    assert seen == [PurePosixPath("operator/a.py"), PurePosixPath("operator/pkg/b.py")]


@pytest.mark.parametrize("source", ["secret.txt", "missing", "operator/__pycache__"])
def test_what_is_hidden_or_missing_is_an_error(tmp_path: Path, source: str) -> None:
    with pytest.raises(ValueError, match=f"COPY {source}"):
        list(_context(tmp_path).files(source))


def test_digest_changes_with_content_and_rights_but_not_with_time(tmp_path: Path) -> None:
    seen = _context(tmp_path)
    first = seen.digest(("operator",))
    file = tmp_path / "operator/a.py"
    file.touch()
    (tmp_path / "operator/__pycache__/a.pyc").write_text("other")
    assert seen.digest(("operator",)) == first
    file.chmod(0o755)
    second = seen.digest(("operator",))
    assert second != first
    file.write_text("other")
    assert seen.digest(("operator",)) not in (first, second)


def test_ignore_file_is_read() -> None:
    text = "# A comment.\n*\n!operator\n!README.md\n**/__pycache__\n**/*.egg-info\n"
    assert context.parse(text) == Ignore(("operator", "README.md"), ("__pycache__", "*.egg-info"))


@pytest.mark.parametrize("text", ["", "!a", "*\na", "*\n**/a\n!b", "*\n!a*", "*\n**/a/b"])
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\.dockerignore"):
        context.parse(text)


def test_our_ignore_file_hides_caches() -> None:
    ignore = context.parse((paths.REPOSITORY / "operator/Dockerfile.dockerignore").read_text())
    assert ignore.admits(PurePosixPath("operator/ringfence/settings.py"))
    assert not ignore.admits(PurePosixPath("operator/ringfence/__pycache__/settings.cpython-311.pyc"))
    assert not ignore.admits(PurePosixPath("tests/conftest.py"))
