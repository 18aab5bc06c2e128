"""Paths at a revision, read from a real git repository."""

import subprocess
from pathlib import Path

import pytest
from ringfence.cli import main, revisions
from ringfence.cli.problems import BadInput

NAMESPACE = "{apiVersion: v1, kind: Namespace, metadata: {name: %s, labels: {ringfence.dev/enroll: enforce}}}\n"
POLICY = """
apiVersion: ringfence.dev/v1alpha1
kind: SecurityPolicy
metadata: {name: %s, namespace: shop}
spec:
  ingress:
    - {name: any, ports: [%s]}
"""


def git(*arguments: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two commits: in the second a port more is open."""
    monkeypatch.chdir(tmp_path)
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    git("init", "-q", "-b", "main", ".")
    policies = tmp_path / "policies"
    (policies / ".hidden").mkdir(parents=True)
    (policies / "deep").mkdir()
    (policies / "a.yaml").write_text(NAMESPACE % "shop")
    (policies / "deep" / "b.yml").write_text(POLICY % ("first", "80"))
    (policies / ".hidden" / "c.yaml").write_text("not: [yaml")
    (policies / "notes.txt").write_text("not: [yaml")
    (policies / "link.yaml").symlink_to("a.yaml")
    git("add", "-A")
    git("commit", "-q", "-m", "one")
    (policies / "deep" / "b.yml").write_text(POLICY % ("second", "80, 81"))
    git("add", "-A")
    git("commit", "-q", "-m", "two")
    return tmp_path


@pytest.mark.usefixtures("repository")
def test_the_manifests_of_a_directory_are_read_as_they_were() -> None:
    found = revisions.read("HEAD~1:policies")
    assert [each.source for each in found] == ["HEAD~1:policies/a.yaml", "HEAD~1:policies/deep/b.yml"]
    assert found[1].value["metadata"]["name"] == "first"
    assert [each.source for each in revisions.read("main:policies/deep/b.yml")] == ["main:policies/deep/b.yml"]
    assert len(revisions.read("HEAD:")) == 2


def test_paths_count_from_the_top_or_from_here(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository / "policies")
    assert len(revisions.read("HEAD:policies")) == 2
    assert len(revisions.read("HEAD:./deep")) == 1


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize("text", ["HEAD:nowhere", "nothing:policies", "--help:policies", "HEAD~7:policies", "-:x"])
def test_what_is_not_there_is_named(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        revisions.read(text)
    assert str(caught.value).startswith(f"{text}: cannot be read from git: ")


@pytest.mark.usefixtures("repository")
def test_what_cannot_be_understood_has_its_place() -> None:
    with pytest.raises(BadInput) as caught:
        revisions.read("HEAD:policies/notes.txt")
    assert str(caught.value).startswith("HEAD:policies/notes.txt:2: is not YAML")


def test_there_is_no_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(BadInput, match="HEAD:policies: cannot be read from git"):
        revisions.read("HEAD:policies")


def test_there_is_no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadInput, match="there is no git to read it"):
        revisions.read("HEAD:policies")


def test_files_that_are_there_are_no_revisions(repository: Path) -> None:
    (repository / "a:b.yaml").write_text(NAMESPACE % "shop")
    assert not revisions.names_revision("a:b.yaml")
    assert revisions.names_revision("a:c.yaml")
    assert not revisions.names_revision("policies")
    assert not revisions.names_revision(":policies")


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        ("HEAD~1:policies", "HEAD:policies", 1),
        ("HEAD:policies", "HEAD~1:policies", 0),
        ("HEAD:policies", "policies", 0),
        ("HEAD:policies", "HEAD:nowhere", 2),
    ],
)
def test_the_exit_status_says_whether_access_widens(
    old: str, new: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["diff", old, new], {}) == status
    said = capsys.readouterr()
    assert "defect" not in said.err
    if status == 1:
        assert "TCP 81\n" in said.out
        assert "SecurityPolicy shop/second rule any (HEAD:policies/deep/b.yml:" in said.out
