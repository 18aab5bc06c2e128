"""Rules about requests: which of them pass, which do not, and that `ringfence can-i` says the same of each."""

import json
import tempfile
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.errors import ClusterError
from e2e.cluster.progress import step
from e2e.demo import attempts, mesh
from e2e.demo.attempts import ALLOWED, DENIED, Answer, Row
from e2e.demo.client import Client, Object, until

GROUP = "requests"
SPACE = "shop-mesh"
TARGET = "till"
PORT = 80
FEW = 5
_SETTLES = 30.0


@dataclass(frozen=True, slots=True)
class Asked:
    """One request by ``web``, and what it is."""

    method: str
    path: str
    header: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, (self.method, self.path, self.header and f"({self.header})")))

    def call(self, admin: Client, source: str = "web") -> mesh.Answer:
        """What its caller gets."""
        header = [f"--header={self.header}"] if self.header else []
        return mesh.call(admin, SPACE, source, f"{TARGET}.{SPACE}", PORT, self.path, f"--method={self.method}", *header)

    def can_i(self, admin: Client, source: str = "web") -> Answer:
        """What the policies say."""
        header = [f"--header={self.header}"] if self.header else []
        options = (f"--method={self.method}", f"--path={self.path}", *header)
        return attempts.can_i(admin, f"{SPACE}/{source}", f"{SPACE}/{TARGET}", mesh.HTTP, *options)


CHARGE = Asked("POST", "/charges", "x-env=prod")
ASKED = (
    CHARGE,
    Asked("GET", "/orders/17/items"),
    Asked("GET", "/charges"),
    Asked("GET", "/orders/17/items/3"),
    Asked("DELETE", "/orders/17/items"),
    Asked("GET", "/orders/../charges"),
    Asked("POST", "/charges", "x-env=test"),
    Asked("POST", "/charges"),
)


def show(admin: Client, image: str) -> list[Row]:
    """Tries what rules about requests promise. Needs the programs of ``proxies.show``."""
    with step("a program of whose requests only some may come"):
        admin.apply([*mesh.service(SPACE, TARGET, image), _policy()])
        mesh.wait_running(admin, SPACE, TARGET)
        until(lambda: CHARGE.call(admin).outcome == "200", "the policy is in force", _SETTLES, every=1)
    with step("asking, and asking `ringfence can-i` about each request"):
        rows = [_row(admin, each) for each in ASKED]
        rows.append(_row(admin, CHARGE, "stranger"))
    rows.append(_log(admin))
    with step("asking more often than is allowed"):
        rows.append(_limit(admin))
    with step("policies from what the proxies have written down"), tempfile.TemporaryDirectory() as place:
        rows += _from_logs(admin, Path(place))
    return rows


def _policy() -> Object:
    web = [{"identity": {"namespace": SPACE, "name": "web"}}]
    return mesh.policy(
        SPACE,
        TARGET,
        TARGET,
        [
            {
                "name": "charges",
                "from": web,
                "ports": [mesh.HTTP],
                "http": [{"methods": ["POST"], "paths": ["/charges", "/charges/*"]}],
                "when": [{"attribute": "request.headers[x-env]", "in": ["prod"]}],
            },
            {
                "name": "items",
                "from": web,
                "ports": [mesh.HTTP],
                "http": [{"methods": ["GET"], "paths": ["/orders/{*}/items"]}],
            },
        ],
    )


def _row(admin: Client, asked: Asked, source: str = "web") -> Row:
    says, got = asked.can_i(admin, source), asked.call(admin, source)
    # Nobody opens a way to the target to a stranger, whose own proxy ends the connection then.
    wanted = ("200",) if says.allowed else ("403",) if source == "web" else mesh.REFUSED
    word = ALLOWED if says.allowed else DENIED
    return Row(GROUP, f"{source} → {TARGET}: {asked}", f"{word}: {says.why}", got.outcome, got.outcome in wanted)


def _limit(admin: Client) -> Row:
    """So many requests at once that some must be turned away, and no more of them pass than is said."""
    traffic = [{"name": "few", "ports": [mesh.HTTP], "rateLimits": {"perCaller": {"requests": FEW, "per": "1m"}}}]
    policy = mesh.policy(SPACE, "few", TARGET, [], traffic=traffic)
    del policy["spec"]["ingress"]
    admin.apply([policy])
    try:
        until(lambda: CHARGE.call(admin).outcome == "429", "the limit is in force", _SETTLES, every=0.1)
        answers = Counter(CHARGE.call(admin).outcome for _ in range(FEW))
    finally:
        admin.run("delete", "secpol", "few", f"--namespace={SPACE}")
    told = ", ".join(f"{outcome} {count} times" for outcome, count in sorted(answers.items()))
    says = f"{DENIED}: SecurityPolicy few, {FEW} a minute for each caller"
    return Row(GROUP, f"web → {TARGET}: {CHARGE}, too often", says, told, set(answers) == {"429"})


def _from_logs(admin: Client, place: Path) -> list[Row]:
    """`suggest` writes policies for what was seen; `simulate` breaks nothing of it with them."""
    logs, world, made = place / "proxies.log", place / "world.yaml", place / "suggested.yaml"
    apps = ("store", "web", "stranger", TARGET)
    logs.write_text("".join("\n".join([*mesh.proxy_log(admin, SPACE, app, ""), ""]) for app in apps))
    kinds = "namespaces,pods,services,serviceaccounts,serviceidentities.ringfence.dev"
    world.write_text(admin.run("get", kinds, "--all-namespaces", "--output=yaml"))
    suggested = attempts.ringfence(admin, "suggest", f"--flows={logs}", f"--filename={world}")
    made.write_text(suggested.out)
    good = f"name: {TARGET}" in suggested.out and "/orders/{*}/items" in suggested.out
    rows = [
        Row(
            GROUP,
            "ringfence suggest --flows, of the proxies' logs",
            "the least policies that allow what was seen",
            "written" if good else f"ended with {suggested.code}",
            good,
            suggested.out or suggested.message,
        )
    ]
    files = [f"--filename={each}" for each in (world, made)]
    done = attempts.ringfence(admin, "simulate", f"--flows={logs}", *files, "--output=json")
    broken = json.loads(done.out)["broken"] if done.out else None
    happened = "nothing breaks" if broken == [] else f"ended with {done.code}"
    says = "nothing breaks with what was suggested"
    rows.append(Row(GROUP, "ringfence simulate --flows -f SUGGESTED", says, happened, broken == [], done.message))
    return rows


def _log(admin: Client) -> Row:
    """A denied caller gets a number and nothing else; whoever may read the log finds by it what was decided."""
    told = Asked("GET", "/charges").call(admin).said.strip()
    number = told.rpartition(" ")[2]
    lines: list[str] = []

    def logged() -> bool:
        lines[:] = mesh.proxy_log(admin, SPACE, TARGET, number)
        return bool(lines)

    with suppress(ClusterError):
        until(logged, "the proxy has written its log", _SETTLES, every=1)
    found = [json.loads(line) for line in lines]
    good = len(found) == 1 and found[0]["path"] == "/charges" and found[0]["code"] == 403
    return Row(
        GROUP,
        "what a denied caller is told",
        "a number, by which the proxy's log says who decided",
        f"“{told}”, {'found' if good else 'not found'} in the log",
        good,
        lines[0] if lines else "",
    )
