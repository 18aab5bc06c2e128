"""Golden pairs: resources in, the bootstrap of one identity's proxy out.

That Envoy itself takes every one is shown by tests/component/test_proxy_golden.py.
"""

from pathlib import Path

import pytest
from ringfence.cli import main

from tests.conftest import Golden

DIRECTORY = Path(__file__).parents[3] / "golden" / "proxy"
INPUTS = sorted(DIRECTORY.glob("*.in.yaml"))


def compiled(path: Path, capsys: pytest.CaptureFixture[str], output: str = "yaml") -> str:
    first = path.read_text().splitlines()[0]
    command = ["compile", "-f", str(path), "--pod-cidr", "10.244.0.0/16", "-o", output]
    assert main.main([*command, "--proxy", first.removeprefix("# proxy: ")], {}) == 0
    return capsys.readouterr().out


def test_there_are_golden_inputs() -> None:
    assert len(INPUTS) >= 7


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: path.name.removesuffix(".in.yaml"))
def test_compiles_to_what_the_file_says(golden: Golden, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = compiled(path, capsys)
    golden.check(path.with_name(path.name.replace(".in.", ".out.")), text)


def test_an_identity_that_is_not_there_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    status = main.main(["compile", "-f", str(INPUTS[0]), "--proxy", "shop/nobody"], {})
    assert status == 2
    assert "there is no ServiceIdentity shop/nobody" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["shop", "/shop", "Shop/api", "shop/"])
def test_a_name_without_namespace_is_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["compile", "-f", str(INPUTS[0]), "--proxy", name], {}) == 2
    assert "NAMESPACE/NAME" in capsys.readouterr().err
