"""What was probably meant is said where a command line has something that does not exist."""

from pathlib import Path

import pytest
from ringfence.cli import main, meant, options

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
        (("proxy", "list", "--nonsense"), "unrecognized arguments: --nonsense (see `ringfence proxy --help`)\n"),
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


@pytest.mark.parametrize("listed", ["'status', 'rotate'", "status, rotate"], ids=["Python 3.11", "Python 3.13"])
def test_it_is_said_whichever_way_the_library_lists_choices(listed: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        options.Parser(prog="x").error(f"argument COMMAND: invalid choice: 'statu' (choose from {listed})")
    assert "; did you mean status?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("explain", "shop-data/ledgr"), "no SecurityPolicy shop-data/ledgr; did you mean shop-data/ledger?\n"),
        (("explain", "-n", "default", "ledger"), "no SecurityPolicy default/ledger; did you mean shop-data/ledger?\n"),
        (("explain", "shop-data/zzz"), "no SecurityPolicy shop-data/zzz; there are ledger, payments\n"),
        (("explain", "cluster:flor"), "no ClusterSecurityPolicy flor; did you mean floor?\n"),
        (("explain", "cluster:zzz"), "no ClusterSecurityPolicy zzz; there is floor\n"),
        (("explain", "nowhere/zzz"), "no SecurityPolicy nowhere/zzz\n"),
        (("proxy", "show", "shop/chekout"), "no pod shop/chekout; did you mean shop/checkout?\n"),
        (("proxy", "show", "default/checkout"), "no pod default/checkout; did you mean shop/checkout?\n"),
        (("compile", "--proxy", "shop/frontnd"), "no ServiceIdentity shop/frontnd; did you mean shop/frontend?\n"),
    ],
)
def test_names_that_are_not_there(arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main([*arguments, "-f", SHOP], {}) == 2
    assert capsys.readouterr().err.endswith(said)


def test_many_names_are_not_all_listed() -> None:
    known = [("shop", f"name-{number:02}") for number in range(13)]
    listed = ", ".join(name for _, name in known[:10])
    assert meant.of_namespace("shop", "zzz", known) == f"; there are {listed} and 3 more"
