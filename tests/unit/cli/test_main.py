"""Exit statuses, help, and that no input ends in a traceback."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ringfence.cli import compile as compile_
from ringfence.cli import main
from ringfence.settings import Settings

ROOT = Path(__file__).parents[3]
SHOP = str(ROOT / "examples" / "shop")
COMMANDS = ("compile", "admit", "can-i", "test", "status", "enroll", "unenroll", "uninstall", "run", "version")


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", "/dev/null")


def ringfence(*arguments: str) -> int:
    return main.main(arguments, {})


def test_without_a_command_it_helps(capsys: pytest.CaptureFixture[str]) -> None:
    assert ringfence() == 0
    said = capsys.readouterr().out
    assert [name for name in COMMANDS if f"\n    {name} " not in said] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_teaches_by_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main([name, "--help"], {}, prog="kubectl ringfence") == 0
    said = capsys.readouterr().out
    assert f"examples:\n  kubectl ringfence {name}" in said or f"| kubectl ringfence {name}" in said
    assert "{prog}" not in said
    assert name == "version" or "exit status: 0" in said


def test_it_knows_the_name_under_which_it_was_called() -> None:
    assert main.program("/usr/bin/kubectl-ringfence") == "kubectl ringfence"
    assert main.program("/x/ringfence") == "ringfence"
    assert main.program("/x/__main__.py") == "ringfence"


@pytest.mark.parametrize(
    "arguments",
    [
        ["compil"],
        ["compile", "--fil", "x"],
        ["compile", "-f", SHOP, "--kind", "Pod"],
        ["compile", "-f", SHOP, "-o", "text"],
        ["can-i", "-f", SHOP, "shop/frontend"],
        ["can-i", "-f", SHOP, "shop/frontend", "shop/checkout", "--port", "0"],
        ["can-i", "-f", SHOP, "shop/frontend", "shop/checkout", "--port", "65536"],
        ["can-i", "-f", SHOP, "shop/frontend", "shop/checkout", "--port", "-1"],
        ["can-i", "-f", SHOP, "shop/frontend", "shop/checkout", "--port", "9" * 5000],
        ["can-i", "-f", SHOP, "shop/frontend", "shop/checkout", "--port", ""],
        ["can-i", "-f", SHOP, "shop/frontend", "shop/checkout", "--protocol", "icmp"],
        ["can-i", "-f", SHOP, "shop/frontend", "shop/checkout", "--pod-cidr", "10.0.0.1/8"],
        ["enroll", "x", "--timeout", "nan"],
        ["run", "proxyd"],
        ["run", "controller", "--config", "/does/not/exist"],
        ["compile", "-f", "/does/not/exist"],
        ["compile", "-f", SHOP, "--config", "/does/not/exist"],
        ["admit"],
        ["admit", "-f", SHOP + "/30-policies.yaml"],
        ["test"],
        ["test", "-"],
        ["test", SHOP],
        ["test", "/does/not/exist"],
        ["status"],
        ["enroll", "shop"],
        ["can-i", "a/b", "c/d"],
        ["compile", "--kubeconfig", "/does/not/exist"],
        ["status", "--context", "nobody"],
        ["uninstall"],
        ["uninstall", "--yes"],
        ["ca"],
        ["ca", "status"],
        ["ca", "init"],
        ["ca", "init", "--new-root", "--yes"],
        ["ca", "backup", "/does/not/exist/file"],
        ["ca", "restore", "/does/not/exist"],
        ["ca", "rotate", "--timeout", "0"],
        ["ca", "backup", "--passphrase", "secret", "x"],
    ],
    ids=" ".join,
)
def test_what_cannot_be_done_is_status_2_with_a_reason(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ringfence(*arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "error:" in said.err
    assert "Traceback" not in said.err
    assert "defect" not in said.err


def test_the_example_does_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    pods = ("--pod-cidr", "10.244.0.0/16")
    assert ringfence("compile", "-f", SHOP, "-o", "json", *pods) == 0
    said = capsys.readouterr()
    assert said.err == ""
    kinds = {(item["kind"], item["metadata"].get("namespace", "")) for item in json.loads(said.out)["items"]}
    assert {("NetworkPolicy", "shop"), ("NetworkPolicy", "shop-data"), ("ValidatingAdmissionPolicy", "")} <= kinds
    assert ringfence("admit", "-f", SHOP) == 0
    assert ringfence("can-i", "-f", SHOP, "shop/frontend", "shop/checkout", "--port", "8080", *pods) == 0
    assert ringfence("can-i", "-f", SHOP, "shop/frontend", "shop-data/payments", "--port", "8443", *pods) == 1
    assert ringfence("can-i", "-f", SHOP, "intruder/intruder", "shop-data/ledger", "--port", "5432", *pods) == 1


def test_the_same_input_gives_the_same_bytes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert ringfence("compile", "-f", SHOP) == 0
    first = capsys.readouterr().out
    for file in sorted(Path(SHOP).glob("*.yaml"), reverse=True):
        (tmp_path / f"{99 - int(file.name[:2])}.yaml").write_text(file.read_text())
    assert ringfence("compile", "-f", str(tmp_path)) == 0
    assert capsys.readouterr().out == first


def test_ten_thousand_rules_are_refused_quickly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = "".join(f"  - {{name: r{i}, from: [{{zone: z}}], ports: [{i + 1}]}}\n" for i in range(10_000))
    file = tmp_path / "many.yaml"
    head = "apiVersion: ringfence.dev/v1alpha1\nkind: SecurityPolicy\nmetadata: {name: p, namespace: shop}\n"
    file.write_text(head + "spec:\n  ingress:\n" + rules)
    started = time.process_time()  # its own work, whatever else the machine does
    assert ringfence("compile", "-f", str(file)) == 2
    assert time.process_time() - started < 5
    assert f"{file}:" in capsys.readouterr().err


def test_a_thousand_mistakes_are_not_a_wall(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "x.yaml"
    fields = "".join(f"  f{i}: 1\n" for i in range(1000))
    file.write_text(f"apiVersion: ringfence.dev/v1alpha1\nkind: SecurityPolicy\nmetadata: {{name: p}}\nspec:\n{fields}")
    assert ringfence("compile", "-f", str(file)) == 2
    assert len(capsys.readouterr().err.splitlines()) < 60


def test_pods_alone_are_judged_by_the_cluster_s_policies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "pod.yaml"
    file.write_text("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n")
    assert ringfence("admit", "-f", str(file)) == 2
    assert "the files hold no policy to judge by, and the cluster cannot be asked" in capsys.readouterr().err
    assert ringfence("admit", "-f", str(file), "--against", "files") == 1


def test_defects_are_a_sentence_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(*_: Any) -> int:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(compile_, "run", broken)
    assert ringfence("compile", "-f", SHOP) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: a defect in ringfence: ZeroDivisionError: by zero")
    assert "Traceback" not in said
    assert ringfence("compile", "-v", "-f", SHOP) == 2
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupt_is_status_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(compile_, "run", interrupted)
    assert ringfence("compile", "-f", SHOP) == 130


def test_run_starts_the_process_with_its_settings(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("trustDomain: example.org\n")
    seen: list[Settings] = []

    def process(settings: Settings) -> int:
        seen.append(settings)
        return 7

    assert main.main(["run", "webhook", "--config", str(config)], {"webhook": process}) == 7
    assert seen[0].installation.trust_domain == "example.org"
    assert main.main(["run", "webhook", "--config", str(config)], {"webhook": lambda _: None}) == 0


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    text = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: 3\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert ringfence("admit", "-f", "-") == 2
    assert capsys.readouterr().err == "error: <stdin>:4: Pod a: spec is a whole number (give an object)\n"


def _command(*arguments: str, **kwargs: Any) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "operator")}
    return subprocess.Popen([sys.executable, "-m", "ringfence", *arguments], env=environment, **kwargs)


def _eventually(true: Callable[[], bool], seconds: float = 60.0) -> bool:
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def _waits_for_input(pid: int) -> bool:
    """Whether the process sleeps in read(0, ...); the call's number is that of this machine's kernel ABI."""
    call = Path(f"/proc/{pid}/syscall").read_text().split()
    return call[:2] == ["0", "0x0"]


def test_a_broken_pipe_is_silent() -> None:
    process = _command("compile", "-f", SHOP, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    remarks = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 141
    assert b"Broken" not in remarks
    assert b"Traceback" not in remarks


def test_ctrl_c_ends_it_quietly() -> None:
    process = _command(
        "compile",
        "-f",
        "-",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A shell that starts tests in the background has them ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert _eventually(lambda: _waits_for_input(process.pid))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (out, err) == (b"", b"")
    assert process.returncode == 130
