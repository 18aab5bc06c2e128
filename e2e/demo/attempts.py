"""What is tried, and what the policy says about it: one row each.

The two columns come from different places. What the policy says is asked of `ringfence can-i`, or is a promise
of the documentation; what happened is what the cluster answered.
"""

import json
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.errors import ClusterError
from e2e.cluster.progress import Ticker
from e2e.demo import client, connect, shop
from e2e.demo.client import Client
from e2e.demo.connect import Outcome

ALLOWED, DENIED = "allow", "deny"


@dataclass(frozen=True, slots=True)
class Row:
    """One attempt."""

    group: str
    attempt: str
    says: str
    """What the policy says: the answer, then why."""
    happened: str
    as_said: bool
    """False is a surprise."""
    detail: str = ""
    """The message that the person sees, where there is one."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What `ringfence can-i` says of one call."""

    allowed: bool
    why: str


def ringfence(admin: Client, *arguments: str, stdin: str | None = None) -> client.Done:
    """The command that users have, on the live cluster; the one beside this Python."""
    program = str(Path(sys.executable).parent / "ringfence")
    return client.call([program, *arguments], admin.environment, stdin, timeout=60)


def can_i(admin: Client, source: str, target: str, port: int, *options: str) -> Answer:
    """Asks the live cluster; ``options`` say which request. Raises ClusterError when the command cannot tell."""
    done = ringfence(admin, "can-i", source, target, f"--port={port}", "--output=json", *options)
    if done.code not in (0, 1) or not done.out:
        raise ClusterError(f"ringfence can-i {source} {target} --port={port} ended with {done.code}: {done.message}")
    # Each pair of pods behind the ends answers for itself; the one that decides is the first that says what all say.
    answers = [each for ports in json.loads(done.out)["ports"] for each in ports["answers"]]
    allowed = done.code == 0
    deciding = next(each for each in answers if each["allowed"] is allowed)
    # No policy governs what a host outside lets in.
    outward = target.startswith("host:") or not deciding["egress"]["allowed"]
    half = deciding["egress"] if outward else deciding["ingress"]
    return Answer(allowed, half["because"])


def connections(admin: Client, ask: Callable[[str, str, int], Answer]) -> list[Row]:
    """Every pair of programs, a port beside the named one, and the way out to a stranger."""
    calls = [
        (source, target) for source in shop.EVERYBODY for target in shop.MEMBERS if source.identity != target.identity
    ]
    calls += [
        (shop.FRONTEND, shop.CHECKOUT_ADMIN),
        (shop.FRONTEND, shop.INTRUDER),
        (shop.PAYMENTS, shop.INTRUDER),
    ]
    rows, ticker = [], Ticker()
    with ThreadPoolExecutor(4) as pool:
        for row in pool.map(lambda call: _connection(admin, ask, *call), calls):
            rows.append(row)
            ticker.tick(f"{len(rows)} of {len(calls)}")
    return rows


def _connection(
    admin: Client, ask: Callable[[str, str, int], Answer], source: shop.Service, target: shop.Service
) -> Row:
    answer = ask(source.identity, target.identity, target.port)
    outcome, message = connect.connect(admin, source, target.address)
    wanted = (Outcome.OPEN,) if answer.allowed else (Outcome.DROPPED, Outcome.CUT)
    return Row(
        group="connections",
        attempt=f"{source.name} → {target.name}:{target.port}",
        says=f"{ALLOWED if answer.allowed else DENIED}: {answer.why}",
        happened=outcome,
        as_said=outcome in wanted,
        detail=message if outcome in (Outcome.BROKEN, Outcome.NO_NAME) else "",
    )


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that must be refused, or let pass, and words that a useful answer to it contains."""

    attempt: str
    says: str
    act: Callable[[], client.Done]
    mentions: tuple[str, ...] = ()
    passes: bool = False

    def row(self, group: str) -> Row:
        """Tries it."""
        done = self.act()
        missing = [word for word in self.mentions if word not in done.message]
        happened = "passed" if done.ok else "refused"
        if missing and not done.ok:
            happened = f"refused, without a word of {', '.join(missing)}"
        return Row(
            group=group,
            attempt=self.attempt,
            says=f"{ALLOWED if self.passes else DENIED}: {self.says}",
            happened=happened,
            as_said=done.ok is self.passes and not missing,
            detail="" if done.ok else done.error.strip(),
        )


def pods(admin: Client, image: str) -> list[Row]:
    """Pods that are let in, and pods that are not; nothing is created that passes (server-side dry run)."""
    return [each.row("pods") for each in _pods(admin, image)]


def _pods(admin: Client, image: str) -> Iterable[Refusal]:
    def create(pod: client.Object) -> Callable[[], client.Done]:
        return lambda: admin.create(pod, "--dry-run=server")

    yield Refusal(
        "another pod of the frontend", "it is as it should be", create(_pod(shop.FRONTEND, image)), passes=True
    )

    privileged = _pod(shop.FRONTEND, image)
    privileged["spec"]["containers"][0]["securityContext"] = {"privileged": True}
    yield Refusal(
        "a privileged pod in shop",
        "the floor asks for `restricted`",
        create(privileged),
        ("securityContext.privileged", "floor"),
    )

    nameless = _pod(shop.FRONTEND, image)
    nameless["spec"]["serviceAccountName"] = "default"
    yield Refusal(
        "a pod without an identity in shop",
        "ServiceAccount default has no ServiceIdentity",
        create(nameless),
        ("ServiceIdentity", "default"),
    )

    forged = _pod(shop.INTRUDER, image)
    forged["metadata"]["labels"]["ringfence.dev/identity"] = "checkout"
    yield Refusal(
        "the intruder wearing checkout's label",
        "the label is the ServiceAccount's, and only where Ringfence watches",
        create(forged),
        ("ringfence.dev/identity",),
    )

    disguised = _pod(shop.FRONTEND, image)
    disguised["metadata"]["labels"]["ringfence.dev/identity"] = "checkout"
    yield Refusal(
        "the frontend wearing checkout's label",
        "the label is the ServiceAccount's",
        create(disguised),
        ("ringfence.dev/identity",),
    )

    running = admin.run("get", "pods", "--namespace=shop", "--selector=app=frontend", "--output=name").split()[0]
    yield Refusal(
        "relabelling a running frontend as checkout",
        "the label never changes",
        lambda: admin.attempt("label", "--namespace=shop", running, "--overwrite", "ringfence.dev/identity=checkout"),
        ("ringfence.dev/identity",),
    )


def _pod(service: shop.Service, image: str) -> client.Object:
    return shop.pod(service, image, "attempt")
