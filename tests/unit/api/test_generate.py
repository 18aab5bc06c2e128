"""What is generated is up to date, and is noticed when it is not."""

from pathlib import Path

import pytest
import yaml
from ringfence.api import generate
from ringfence.api.v1alpha1 import crds

REPOSITORY = Path(__file__).parents[3]


def test_this_repository_is_up_to_date() -> None:
    assert generate.stale(REPOSITORY) == {}


def test_the_files_hold_the_crds() -> None:
    for crd in crds():
        plural = crd["spec"]["names"]["plural"]
        for directory in ("crds", "charts/ringfence/files/crds"):
            assert yaml.safe_load(generate.files()[f"{directory}/{plural}.yaml"]) == crd


def test_writing_twice_changes_nothing(tmp_path: Path) -> None:
    assert generate.write(tmp_path) == sorted(generate.files())
    assert generate.write(tmp_path) == []
    assert generate.stale(tmp_path) == {}


def test_check_names_what_is_stale_and_shows_how(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main([f"--root={tmp_path}"]) == 0
    path = tmp_path / "crds" / "securitypolicies.yaml"
    path.write_text(path.read_text().replace("maxItems: 100", "maxItems: 101"))
    (tmp_path / "docs" / "api.md").unlink()
    capsys.readouterr()
    assert generate.main(["--check", f"--root={tmp_path}"]) == 1
    said = capsys.readouterr().err
    assert "crds/securitypolicies.yaml is not up to date: run `make generate`" in said
    assert "maxItems: 101" in said
    assert "docs/api.md is not up to date" in said
    assert "charts/" not in said


def test_check_of_what_is_up_to_date_is_silent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generate.write(tmp_path)
    assert generate.main(["--check", f"--root={tmp_path}"]) == 0
    assert capsys.readouterr() == ("", "")
