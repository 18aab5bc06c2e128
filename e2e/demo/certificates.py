"""Certificates that renew themselves, a root that is replaced and a controller that is killed, while two programs go on
shaking hands: each promise, and what became of it.
"""

import base64
import tempfile
import textwrap
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from e2e.cluster import backend
from e2e.cluster.errors import ClusterError
from e2e.cluster.progress import Ticker, say, step
from e2e.demo import attempts, authority, client, leader, peers
from e2e.demo.attempts import Refusal, Row
from e2e.demo.client import Client, until

GROUP = "certificates"
SPACE = "shop-tls"
WATCHED = "orders"

_RENEWED_WITHIN = 10.0
"""Seconds after the moment that the status announces."""
_LONGEST = 120.0
_TELLING = "no_header,no_version,no_pubkey,no_sigdump,no_aux"
"""What `openssl x509 -text` may leave out."""

Act = Callable[[], tuple[str, bool]]
"""Tries something: what happened, and whether it is as it should be."""


def start(admin: Client, image: str) -> None:
    """Starts the two programs, so that they have something to tell by the time they are looked at."""
    admin.apply([peers.namespace(SPACE), *peers.objects(SPACE, image)])


def show(cluster: backend.Cluster, admin: Client, image: str) -> list[Row]:
    """Tries everything; what does not come about in time is a surprise, not an error. Raises ClusterError when the
    programs do not even start.
    """
    with step("two programs with certificates of their own"):
        peers.wait_running(admin, SPACE)
        before = until_talking(admin, SPACE)
    rows = [_thief(admin, image), *_judged(admin)]
    with step(f"watching the certificate of {WATCHED} until it is renewed"):
        rows.append(_tried(f"watch the certificate of {WATCHED}", _renewal_says(admin), lambda: _renewal(admin)))
    rows += _rotation(cluster, admin)
    rows.append(
        _tried("orders ⇄ stock, ten new connections a second each", "not one fails", lambda: _handshakes(admin, before))
    )
    return rows


def until_talking(admin: Client, space: str) -> dict[str, peers.Report]:
    """What both programs say, once each has been answered by the other. Raises ClusterError."""

    def talking() -> bool:
        try:
            return all(each.handshakes for each in peers.reports(admin, space).values())
        except ValueError:
            return False

    until(talking, "the two programs shake hands", 60)
    return peers.reports(admin, space)


def pem(admin: Client, space: str, name: str) -> dict[str, bytes]:
    """The files in the Secret of an identity."""
    data = admin.get("secret", peers.secret_of(name), f"--namespace={space}")["data"]
    return {key: base64.b64decode(value) for key, value in data.items()}


def _tried(attempt: str, says: str, act: Act, detail: str = "") -> Row:
    try:
        happened, as_said = act()
    except ClusterError as error:
        happened, as_said = str(error), False
    return Row(GROUP, attempt, says, happened, as_said, detail)


def _thief(admin: Client, image: str) -> Row:
    spec = peers.pod_spec(SPACE, "orders", "stock", image, account="stock")
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "thief", "namespace": SPACE}, "spec": spec}
    return Refusal(
        "a pod of stock that mounts the Secret of orders",
        "the Secret of an identity is for its own pods",
        lambda: admin.create(pod, "--dry-run=server"),
        ("orders-identity", "ServiceAccount"),
    ).row(GROUP)


# --- one certificate ------------------------------------------------------------------------------------------------


def _judged(admin: Client) -> list[Row]:
    """OpenSSL's opinion, and what it reads."""
    with tempfile.TemporaryDirectory() as scratch:
        for name, content in pem(admin, SPACE, WATCHED).items():
            if name != "tls.key":
                Path(scratch, name).write_bytes(content)
        verified = _openssl(
            admin, scratch, "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", "ca.crt", "tls.crt"
        )
        text = _openssl(admin, scratch, "x509", "-in", "tls.crt", "-noout", "-text", "-certopt", _TELLING)
    wanted = f"URI:spiffe://cluster.local/ns/{SPACE}/sa/{WATCHED}"
    as_said = verified.ok and text.ok and wanted in text.out and text.out.count("URI:") == 1
    row = Row(
        GROUP,
        f"openssl verify, and openssl x509 -text, of {WATCHED}",
        "it chains to the root and carries one SPIFFE ID, and the names of its Services",
        verified.message.removeprefix("tls.crt: "),
        as_said,
        _unindented(text.out) or text.error,
    )
    return [row]


def _openssl(admin: Client, directory: str, *arguments: str) -> client.Done:
    return client.call(["openssl", *arguments], admin.environment, None, 30, directory=directory)


def _unindented(text: str) -> str:
    """Without the margin and the lines that say nothing."""
    lines = [line.removeprefix("    ").rstrip() for line in text.splitlines() if line.strip()]
    return "\n".join(line.removeprefix("    ") for line in lines)


def _renewal_says(admin: Client) -> str:
    certificate = authority.certificates(admin, SPACE).get(WATCHED, {})
    due = certificate.get("renewalTime", "")
    say(f"    {certificate.get('serial', '')[:16]} ends {certificate.get('notAfter')}, and says: renewed at {due}")
    return f"a new one with a new key at {due[11:19]}, when a tenth of its life is over, as its status says"


def _renewal(admin: Client) -> tuple[str, bool]:
    before, ticker = authority.certificates(admin, SPACE)[WATCHED], Ticker()
    key, due = _public_key(admin), datetime.fromisoformat(before["renewalTime"]).timestamp()

    def renewed() -> bool:
        ticker.tick(f"{max(0.0, due - time.time()):.0f} s left")
        return bool(authority.certificates(admin, SPACE)[WATCHED]["serial"] != before["serial"])

    until(renewed, "the certificate is renewed", _LONGEST)
    late, same = time.time() - due, _public_key(admin) == key
    after = authority.certificates(admin, SPACE)[WATCHED]
    happened = f"{before['serial'][:8]}… → {after['serial'][:8]}…, {late:.1f} s after that"
    return f"{happened}; the key is the same" if same else happened, not same and late <= _RENEWED_WITHIN


def _public_key(admin: Client) -> str:
    done = client.call(
        ["openssl", "x509", "-noout", "-pubkey"], admin.environment, pem(admin, SPACE, WATCHED)["tls.crt"].decode(), 30
    )
    if not done.ok:
        raise ClusterError(f"openssl x509: {done.message}")
    return done.out


# --- the root ---------------------------------------------------------------------------------------------------------


def _rotation(cluster: backend.Cluster, admin: Client) -> list[Row]:
    """Replaces the root and kills the leader half-way; where a rotation is under way, one cannot ask for another."""
    before = authority.status(admin)
    if before.phase != authority.IDLE:
        return [
            Refusal(
                "ringfence ca rotate, while a rotation is under way",
                f"one at a time: the old root goes at {before.leaves_until or 'an unknown time'}",
                lambda: attempts.ringfence(admin, "ca", "rotate", "--yes"),
                ("under way",),
            ).row(GROUP)
        ]
    begin = time.monotonic()
    with step("ringfence ca rotate"):
        asked = attempts.ringfence(admin, "ca", "rotate", "--yes")
        until(lambda: authority.status(admin).phase != authority.IDLE, "a new root is prepared", 30)
    with step("kill -9 of the controller that leads"):
        killed = _tried(
            "kill -9 of the controller that leads, half-way through",
            f"the other takes over within {leader.TAKEN_OVER_WITHIN:.0f} s and goes on",
            lambda: _killed(cluster, admin),
        )
    with step("the rest of the rotation"):
        rotated = _tried(
            "ringfence ca rotate",
            "the new root is trusted everywhere before it signs, then every Secret is issued anew",
            lambda: _rotated(admin, before, begin),
            asked.message if not asked.ok else textwrap.dedent(asked.out).strip(),
        )
    return [rotated, killed]


def _killed(cluster: backend.Cluster, admin: Client) -> tuple[str, bool]:
    seconds = leader.wait_for_another(admin, leader.kill(cluster, admin))
    return f"after {seconds:.1f} s", seconds <= leader.TAKEN_OVER_WITHIN


def _rotated(admin: Client, before: authority.Authority, begin: float) -> tuple[str, bool]:
    ticker = Ticker()

    def activated() -> bool:
        now = authority.status(admin)
        ticker.tick(f"phase {now.phase}")
        return now.phase == authority.ACTIVATED

    until(activated, "the new root signs", _LONGEST, every=1)
    new = authority.status(admin).current
    until(lambda: authority.issuers(admin, SPACE) == {new}, "every Secret is issued anew", _LONGEST)
    took = time.monotonic() - begin
    until(lambda: _in_use(admin, new), "both programs use their new certificates", _LONGEST, every=1)
    number = len(authority.certificates(admin, SPACE))
    happened = f"{before.current[:8]}… → {new[:8]}…, {number} of {len(peers.ALGORITHMS)} Secrets after {took:.0f} s"
    return happened, new != before.current and number == len(peers.ALGORITHMS)


def _in_use(admin: Client, root: str) -> bool:
    return all(each.issuers[-1:] == (root,) for each in peers.reports(admin, SPACE).values())


def _handshakes(admin: Client, before: dict[str, peers.Report]) -> tuple[str, bool]:
    after = peers.reports(admin, SPACE)
    return verdict(before, after)


def verdict(before: dict[str, peers.Report], after: dict[str, peers.Report]) -> tuple[str, bool]:
    """What the programs have seen since, and whether it is good: nothing failed, and neither was started anew."""
    pairs = [(before[name], after[name]) for name in before]
    done = sum(now.handshakes - then.handshakes for then, now in pairs)
    failed = sum(now.failures - then.failures for then, now in pairs)
    # With those that were in use at the beginning.
    seen = sum(len(now.serials) - len(then.serials) + 1 for then, now in pairs)
    roots = len({root for then, now in pairs for root in now.issuers[len(then.issuers) - 1 :]})
    happened = f"{done} handshakes, {failed} failed; {seen} certificates; roots: {roots}"
    if failed:
        happened += "".join(f"; {name}: {each.last_failure}" for name, each in after.items() if each.last_failure)
    anew = [name for name, each in after.items() if each.started != before[name].started]
    if anew:
        happened += f"; started anew: {', '.join(anew)}"
    going_on = all(each.handshakes > before[name].handshakes for name, each in after.items())
    return happened, going_on and not failed and not anew
