"""How many certificates a core makes: key, signature and text, alone and with the judgement that follows each.

One thread. A second here is one of the processor (what the thread was given of it), since the goal is per core and
other programs may share the machine; by the wall clock the figure is shown beside it.
"""

import asyncio
import secrets
import sys
import time
import tracemalloc
from collections.abc import Callable

from ringfence.model.ca import CaState
from ringfence.model.certificates import KeyAlgorithm
from ringfence.model.spiffe import SpiffeId
from ringfence.pki import identity_secret, keys, slots, validate
from ringfence.pki.encoding import Pair
from ringfence.pki.identity_secret import Action, Wish
from ringfence.pki.issue import expectation, issue
from ringfence.pki.local_signer import LocalSigner
from ringfence.pki.root import make_root

from bench import table

NOW = 1_800_000_000
GOAL = 5000
COUNT = 5000
STORM = 5000


def _wish(number: int) -> Wish:
    identity = SpiffeId.of_service_account("mesh.example", "shop", f"service-{number}")
    base = f"service-{number}.shop.svc"
    return Wish(
        "shop", f"service-{number}", f"uid-{number}", f"tls-{number}", identity, (base, f"{base}.cluster.local")
    )


def _serial() -> int:
    return secrets.randbits(126) | 1 << 126


def _rate(what: Callable[[int], object], count: int) -> tuple[float, float]:
    """Calls a second of processor time and of the wall clock."""
    what(0)
    wall, processor = time.perf_counter(), time.thread_time()
    for number in range(count):
        what(number)
    return count / (time.thread_time() - processor), count / (time.perf_counter() - wall)


def _issuing(ca: CaState, *, judged: bool) -> Callable[[int], object]:
    signer = LocalSigner(ca.current)
    loop = asyncio.new_event_loop()

    def one(number: int) -> Pair:
        template = identity_secret.leaf_template(_wish(number), ca, NOW, _serial())
        key = keys.generate(KeyAlgorithm.ECDSA_P256)
        if judged:
            return loop.run_until_complete(issue(template, key, signer, ca.bundle, NOW))
        return Pair(signer.sign_now(template, key.public_der), key.pem)

    return one


def _judging(ca: CaState) -> Callable[[int], object]:
    """Certificates that were never seen before: what has been judged is remembered for a while."""
    signer = LocalSigner(ca.current)
    key = keys.generate(KeyAlgorithm.ECDSA_P256)
    made = []
    for number in range(COUNT):
        template = identity_secret.leaf_template(_wish(number), ca, NOW, _serial())
        made.append((signer.sign_now(template, key.public_der), expectation(template, key.public_der, ca.bundle, NOW)))
    return lambda number: validate.check(*made[number])


def _making(algorithm: KeyAlgorithm) -> Callable[[int], object]:
    return lambda _: keys.generate(algorithm)


def _row(what: str, rates: tuple[float, float], goal: int | None = None) -> table.Row:
    measured = f"{rates[0]:,.0f}/s a core ({rates[1]:,.0f}/s by the wall clock now)"
    if goal is None:
        return table.Row(what, measured)
    return table.Row(what, measured, f"at least {goal:,}/s", rates[0] >= goal)


async def _issue_all(ca: CaState, wishes: list[Wish]) -> dict[str, dict[str, object]]:
    """What the controller does for each: decide, make, judge, write down."""
    signer = LocalSigner(ca.current)
    stored: dict[str, dict[str, object]] = {}
    for wish in wishes:
        template = identity_secret.leaf_template(wish, ca, NOW, _serial())
        pair = await issue(template, keys.generate(wish.key_algorithm), signer, ca.bundle, NOW)
        stored[wish.name] = dict(identity_secret.desired(wish, pair, ca.bundle))
    return stored


def _storm(ca: CaState) -> list[table.Row]:
    """Everybody's certificate at once, then the look at each that finds nothing to do."""
    wishes = [_wish(number) for number in range(STORM)]
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    held = asyncio.run(_issue_all(ca, wishes[:500]))
    size = (tracemalloc.get_traced_memory()[0] - before) / len(held)
    tracemalloc.stop()

    wall, processor = time.perf_counter(), time.thread_time()
    stored = asyncio.run(_issue_all(ca, wishes))
    took = f"{time.thread_time() - processor:.1f} s of one core ({time.perf_counter() - wall:.1f} s now)"

    processor = time.thread_time()
    kept = sum(identity_secret.decide(stored[wish.name], wish, ca, NOW + 60).action is Action.KEEP for wish in wishes)
    looked = time.thread_time() - processor
    if kept != STORM:
        raise AssertionError(f"only {kept} of {STORM} certificates were as they should be")
    return [
        table.Row(f"{STORM:,} identities issued at once, without the API server", took),
        table.Row("memory of one Secret's object", f"{size / 1024:.1f} KiB"),
        table.Row(f"looking at {STORM:,} Secrets that are as they shall be", f"{looked:.2f} s of one core"),
    ]


def rows() -> list[table.Row]:
    """The figures of this machine."""
    ca = slots.first("mesh.example", make_root("mesh.example", NOW - 3600, _serial()), NOW)
    found = []
    print("certificates: P-256", file=sys.stderr)
    found.append(_row("P-256 certificates with their keys", _rate(_issuing(ca, judged=False), COUNT), GOAL))
    found.append(_row("judging alone", _rate(_judging(ca), COUNT)))
    found.append(
        _row("certificates with their keys, each judged before it is used", _rate(_issuing(ca, judged=True), COUNT))
    )
    print("certificates: other keys", file=sys.stderr)
    for algorithm, count in ((KeyAlgorithm.ECDSA_P384, 200), (KeyAlgorithm.RSA_3072, 3)):
        found.append(_row(f"{algorithm} keys", _rate(_making(algorithm), count)))
    print(f"certificates: {STORM:,} at once", file=sys.stderr)
    return found + _storm(ca)


if __name__ == "__main__":
    table.show("certificates", rows())
