"""What was probably meant is said where a command line has something that does not exist."""

from pathlib import Path

import pytest
from ringfence.cli import main

SHOP = str(Path(__file__).parents[3] / "examples" / "shop")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("expain",), "; did you mean explain?"),
        (("can-i", "-f", SHOP, "a", "b", "--prot", "80"), "unrecognized arguments: --prot 80; did you mean --port?"),
        (("can-i", "a", "b", "--metod=GET"), "; did you mean --method?"),
        (("graph", "--by", "namespaces"), "; did you mean namespace?"),
        (("compile", "--kind", "NetworkPolicies"), "; did you mean NetworkPolicy?"),
        (("ca", "statu"), "; did you mean status?"),
        (("proxy", "list", "--nonsense"), "unrecognized arguments: --nonsense\n"),
        (("qqq",), "invalid choice: 'qqq'"),
    ],
)
def test_it_is_said(arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(arguments, {}) == 2
    found = capsys.readouterr().err
    assert said in found
    assert "did you mean" in said or "did you mean" not in found


def test_kinds_may_be_written_in_any_case(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["compile", "-f", SHOP, "--kind", "networkpolicy"], {}) == 0
    assert "kind: NetworkPolicy\n" in capsys.readouterr().out


def test_the_names_of_ports_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["can-i", "-f", SHOP, "shop/frontend", "shop/checkout", "--port", "htp"], {}) == 2
    said = capsys.readouterr()
    assert "has no TCP port named 'htp', only admin, http: give its number" in said.err
    # Pods' ranges would not help, and there are no layers to show.
    assert "--pod-cidr" not in said.err
    assert "LAYER" not in said.out
