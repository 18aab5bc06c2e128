"""What `run` can start is there, and takes the settings."""

import inspect
from importlib import import_module

import pytest
from ringfence import __main__
from ringfence.cli import main
from ringfence.settings import Settings


@pytest.mark.parametrize("name", ["controller", "webhook"])
def test_every_process_has_a_front_door(name: str) -> None:
    assert name in __main__.PROCESSES
    run = import_module(f"ringfence.{name}.main").run
    first, *others = inspect.signature(run).parameters.values()
    assert first.annotation in {Settings, "Settings"}
    assert all(each.default is not inspect.Parameter.empty for each in others)


def test_the_command_line_offers_just_these(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["run", "--help"], {}) == 0
    assert "{" + ",".join(__main__.PROCESSES) + "}" in capsys.readouterr().out
