"""`ringfence ca status` and what `ringfence ca rotate` says first, as whole answers for clusters of every kind."""

import base64
import functools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ringfence.cli import main
from ringfence.model.ca import CaState, RotationReason
from ringfence.pki import slots, store
from ringfence.pki.root import make_root

from tests.unit.cli import ca_cluster_fake
from tests.unit.cli.ca_cluster_fake import FakeCluster
from tests.unit.pki.material import DAY, HOUR, NOW, TRUST_DOMAIN, idle, root

DIRECTORY = Path(__file__).parents[2] / "golden" / "cli_ca"
#: The root that comes after root(1).
SECOND = make_root(TRUST_DOMAIN, NOW - 600, 2 | 1 << 100)
ONE, TWO = root(1).root.fingerprint, SECOND.root.fingerprint


def prepared() -> CaState:
    return slots.prepare(idle(), SECOND, NOW - 60, RotationReason.REQUESTED)


def activated() -> CaState:
    state = slots.prepare(idle(), SECOND, NOW - 600, RotationReason.AGE)
    return slots.activate(state, NOW - 300, NOW + 4 * HOUR)


@functools.cache
def old() -> CaState:
    """A CA whose root ends in ten days."""
    return slots.first(TRUST_DOMAIN, make_root(TRUST_DOMAIN, NOW - 355 * DAY, 3 | 1 << 100), NOW - 355 * DAY)


def healthy(fake: FakeCluster, state: CaState | None = None) -> None:
    state = state or idle()
    fake.installed()
    fake.ca(state)
    fake.enrolled("shop", state)
    fake.enrolled("shop-data", state)
    fake.identity("shop", "checkout", ONE, pods=3)
    fake.identity("shop", "frontend", None)
    fake.identity("shop-data", "payments", ONE)


def first_install(fake: FakeCluster) -> None:
    fake.installed()


def request_pending(fake: FakeCluster) -> None:
    healthy(fake)
    fake.ca(idle(), annotations={"ringfence.dev/rotate": "requested"})


def not_understood(fake: FakeCluster) -> None:
    healthy(fake)
    fake.ca(idle(), annotations={"ringfence.dev/rotate": "please\x1b[2J"})


def preparing(fake: FakeCluster) -> None:
    healthy(fake, prepared())
    fake.enrolled("late", idle())
    fake.enrolled("new", None)


def preparing_the_cluster(fake: FakeCluster) -> None:
    healthy(fake, prepared())
    fake.cluster_bundle(idle())


def propagating_in_the_cluster(fake: FakeCluster) -> None:
    healthy(fake, prepared())
    fake.cluster_bundle(prepared())


def propagating(fake: FakeCluster) -> None:
    healthy(fake, prepared())


def reissuing(fake: FakeCluster) -> None:
    healthy(fake, activated())
    fake.identity("shop", "checkout", TWO)


def retiring(fake: FakeCluster) -> None:
    reissuing(fake)
    fake.identity("shop-data", "payments", TWO)


def ending(fake: FakeCluster) -> None:
    fake.installed()
    fake.ca(old())


def ended(fake: FakeCluster) -> None:
    fake.installed()
    slot = make_root(TRUST_DOMAIN, NOW - 400 * DAY, 4 | 1 << 100)
    fake.ca(slots.first(TRUST_DOMAIN, slot, NOW - 400 * DAY))


def lost(fake: FakeCluster) -> None:
    healthy(fake)
    del fake.objects[ca_cluster_fake.SECRET]


def corrupt(fake: FakeCluster) -> None:
    healthy(fake)
    data = {**store.encode(idle()), "current.key": base64.b64encode(b"no key").decode()}
    fake.put(ca_cluster_fake.SECRET, {"type": store.SECRET_TYPE, "data": data})


def of_another_type(fake: FakeCluster) -> None:
    fake.installed()
    fake.put(ca_cluster_fake.SECRET, {"type": "Opaque", "data": {"x": "eA=="}})


def foreign_domain(fake: FakeCluster) -> None:
    healthy(fake)
    fake.installed("other.example")


def foreign_root(fake: FakeCluster) -> None:
    healthy(fake)
    fake.ca(idle(), marker=slots.first(TRUST_DOMAIN, SECOND, NOW))


def unmarked(fake: FakeCluster) -> None:
    healthy(fake)
    del fake.objects[ca_cluster_fake.MARKER]


def stranded(fake: FakeCluster) -> None:
    healthy(fake)
    fake.identity("shop", "stray", "")


def no_settings(fake: FakeCluster) -> None:
    healthy(fake)
    fake.denied = (ca_cluster_fake.SETTINGS,)


def no_secret(fake: FakeCluster) -> None:
    healthy(fake)
    fake.denied = (ca_cluster_fake.SECRET,)


def no_secret_in_trouble(fake: FakeCluster) -> None:
    no_secret(fake)
    message = "the Secret ringfence-ca is gone, and there has been a CA here"
    fake.identity("shop", "checkout", ONE, status="False", reason="CAMissing", message=message)


def viewer(fake: FakeCluster) -> None:
    """Of the namespace shop, and nothing else."""
    healthy(fake, prepared())
    fake.denied = (
        f"/api/v1/namespaces/{ca_cluster_fake.SYSTEM}",
        ca_cluster_fake.IDENTITIES,
        ca_cluster_fake.BUNDLES,
    )


Setting = Callable[[FakeCluster], None]
STATUS: dict[Setting, int] = {
    healthy: 0,
    first_install: 1,
    request_pending: 0,
    not_understood: 1,
    preparing: 0,
    preparing_the_cluster: 0,
    propagating_in_the_cluster: 0,
    propagating: 0,
    reissuing: 0,
    retiring: 0,
    ending: 1,
    ended: 1,
    lost: 1,
    corrupt: 1,
    of_another_type: 1,
    foreign_domain: 1,
    foreign_root: 1,
    unmarked: 1,
    stranded: 1,
    no_settings: 0,
    no_secret: 2,
    no_secret_in_trouble: 1,
    viewer: 2,
}


def ringfence(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Exit status, and everything said, with fingerprints that are the same in every run."""
    status = main.main(["ca", *arguments], {})
    said = capsys.readouterr()
    assert "defect" not in said.err
    assert "PRIVATE" not in said.out + said.err
    text = f"$ ringfence ca {' '.join(arguments)}\n{said.out}" + (f"(stderr)\n{said.err}" if said.err else "")
    for digit, fingerprint in (("1", ONE), ("2", TWO), ("3", old().current.root.fingerprint)):
        text = text.replace(fingerprint, digit * 64).replace(fingerprint[:16], digit * 16)
    return status, f"{text}(exit status {status})\n\n"


@pytest.mark.parametrize("name", ["status", "rotate", "backup", "restore", "init"])
def test_every_command_teaches_by_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["ca", name, "--help"], {}, prog="kubectl ringfence") == 0
    said = capsys.readouterr().out
    assert f"examples:\n  kubectl ringfence ca {name}" in said
    assert "{prog}" not in said
    assert "exit status: 0" in said


@pytest.mark.parametrize("setting", STATUS, ids=lambda setting: setting.__name__)
def test_status(setting: Setting, fake: FakeCluster, golden: Any, capsys: pytest.CaptureFixture[str]) -> None:
    setting(fake)
    more = ("-n", "shop") if setting is viewer else ()
    status, said = ringfence(capsys, "status", *more)
    assert status == STATUS[setting]
    assert fake.writes == []
    if setting is ended:
        # Its root is made anew in every run.
        assert "CAExpired" in said
        return
    golden.check(DIRECTORY / f"status-{setting.__name__.replace('_', '-')}.out.txt", said)


@pytest.mark.parametrize("setting", [reissuing, lost, viewer], ids=lambda setting: setting.__name__)
def test_for_programs(setting: Setting, fake: FakeCluster, golden: Any, capsys: pytest.CaptureFixture[str]) -> None:
    setting(fake)
    status, said = ringfence(capsys, "status", "-n", "shop", "-o", "json")
    assert status == STATUS[setting]
    golden.check(DIRECTORY / f"status-{setting.__name__}-json.out.txt", said)
    assert ringfence(capsys, "status", "-n", "shop", "-o", "yaml")[0] == status


@pytest.mark.parametrize("setting", STATUS, ids=lambda setting: setting.__name__)
@pytest.mark.parametrize("compromised", [False, True], ids=["planned", "compromised"])
def test_what_a_rotation_says_before_it_does_anything(
    setting: Setting, compromised: bool, fake: FakeCluster, golden: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    setting(fake)
    status, said = ringfence(capsys, "rotate", *(["--compromised"] if compromised else []))
    assert status in {1, 2}
    assert fake.writes == []
    assert "yes" in said or "nothing was changed" in said or "cannot be used" in said or "error: " in said
    if setting in {healthy, preparing, reissuing, viewer}:
        kind = "compromised" if compromised else "planned"
        golden.check(DIRECTORY / f"rotate-{setting.__name__}-{kind}.out.txt", said)


def test_the_json_is_the_same_whatever_order_the_cluster_answers_in(
    fake: FakeCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    reissuing(fake)
    _, first = ringfence(capsys, "status", "-o", "json")
    fake.objects = dict(reversed(fake.objects.items()))
    assert ringfence(capsys, "status", "-o", "json")[1] == first


def test_certificates_that_make_no_sense_are_not_counted(fake: FakeCluster, capsys: pytest.CaptureFixture[str]) -> None:
    healthy(fake)
    path = f"{ca_cluster_fake.IDENTITIES.removesuffix('serviceidentities')}namespaces/shop/serviceidentities/odd"
    strange: tuple[Any, ...] = ("x", [], None, {"issuer": ONE}, {"notAfter": "", "issuer": ONE})
    for certificate in strange:
        fake.put(path, {"status": {"certificate": certificate}})
        status, said = ringfence(capsys, "status", "-o", "json")
        assert status == 0
        assert '"total": 2' in said
    fake.put(path, {"status": {"certificate": {"notAfter": "never", "issuer": 3}}})
    status, said = ringfence(capsys, "status")
    assert status == 1
    assert "1 identity has a certificate of a root that is not trusted" in said


def test_a_namespace_without_ringfence_is_told_apart(fake: FakeCluster, capsys: pytest.CaptureFixture[str]) -> None:
    status, said = ringfence(capsys, "status", "--ringfence-namespace", "elsewhere")
    assert status == 2
    assert "not installed in namespace elsewhere" in said
    assert fake.writes == []


def test_a_state_from_elsewhere_is_never_taken_for_healthy(
    fake: FakeCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    healthy(fake)
    data = store.encode(idle())
    for key in data:
        for value in ("", "!", base64.b64encode(b"{}").decode(), base64.b64encode(b"\xff").decode()):
            fake.put(ca_cluster_fake.SECRET, {"type": store.SECRET_TYPE, "data": {**data, key: value}})
            assert ringfence(capsys, "status")[0] == 1
        fake.put(
            ca_cluster_fake.SECRET, {"type": store.SECRET_TYPE, "data": {k: v for k, v in data.items() if k != key}}
        )
        status, said = ringfence(capsys, "status", "-o", "json")
        assert status == 1
        assert json.loads(said.partition("\n")[2].rpartition("}")[0] + "}")["usable"] is False


def test_the_next_root_is_looked_at_too(fake: FakeCluster, capsys: pytest.CaptureFixture[str]) -> None:
    state = replace(prepared(), next=old().current)
    fake.installed()
    fake.ca(state)
    status, said = ringfence(capsys, "status")
    assert status == 1
    assert "the next root 3333333333333333 ends on" in said
