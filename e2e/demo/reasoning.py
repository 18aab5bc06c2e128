"""What policies mean together: invariants proven and defended, and what a change would do before anybody makes it."""

import shutil
import tempfile
from pathlib import Path

import yaml

from e2e.cluster.progress import step
from e2e.demo import attempts, shop
from e2e.demo.attempts import Row
from e2e.demo.client import Client, Object

GROUP = "reasoning"
SPACE = "shop-data"
INVARIANT = "ledger-only-through-payments"


def _policy(name: str, target: str, caller: Object) -> Object:
    return {
        "apiVersion": "ringfence.dev/v1alpha1",
        "kind": "SecurityPolicy",
        "metadata": {"name": name, "namespace": SPACE},
        "spec": {
            "appliesTo": {"identities": [target]},
            "ingress": [{"name": "callers", "from": [caller], "ports": [5432]}],
        },
    }


#: A program that reads the ledger: nothing is wrong with it.
REPORTS: list[Object] = [
    {
        "apiVersion": "ringfence.dev/v1alpha1",
        "kind": "ServiceIdentity",
        "metadata": {"name": "reports", "namespace": SPACE},
        "spec": {},
    },
    _policy("ledger-reports", "ledger", {"identity": {"namespace": SPACE, "name": "reports"}}),
]
#: Nor does this rule look bad by itself.
CARELESS = _policy("reports", "reports", {"zone": "front"})


def show(admin: Client) -> list[Row]:
    """Tries what is promised of reasoning; the shop must be there."""
    with step("proving what can never happen, and trying to make it possible"):
        rows = [_proof(admin), *_careless(admin)]
    with step("asking what a change would do"), tempfile.TemporaryDirectory() as place:
        rows += [_difference(admin, Path(place)), _picture(admin, Path(place))]
    return rows


def _proof(admin: Client) -> Row:
    done = attempts.ringfence(admin, "prove", "--filename", str(shop.DIRECTORY))
    good = done.ok and f"proven: neverAllow {INVARIANT}" in done.out
    says = "nothing but payments ever leads to the ledger"
    return Row(GROUP, "ringfence prove -f examples/shop", says, "proven" if good else "not proven", good, done.out)


def _careless(admin: Client) -> list[Row]:
    admin.apply(REPORTS)
    try:
        refusal = attempts.Refusal(
            "kubectl apply a rule by which the front reaches the ledger through others",
            f"it breaks {INVARIANT}",
            lambda: admin.create(CARELESS),
            (INVARIANT, f"-> {SPACE}/reports TCP 5432", f"{SPACE}/reports -> {SPACE}/ledger TCP 5432"),
        )
        rows = [refusal.row(GROUP)]
    finally:
        for each in (CARELESS, *reversed(REPORTS)):
            name, kind = each["metadata"]["name"], each["kind"].lower()
            admin.run("delete", kind, name, f"--namespace={SPACE}", "--ignore-not-found")
    return rows


def _difference(admin: Client, place: Path) -> Row:
    """A variant of the shop in which somebody meant well."""
    changed = place / "shop"
    shutil.copytree(shop.DIRECTORY, changed)
    (changed / "60-reports.yaml").write_text(yaml.safe_dump_all([*REPORTS, CARELESS]))
    done = attempts.ringfence(admin, "diff", str(shop.DIRECTORY), str(changed), "--output=markdown")
    wanted = (f"{SPACE}/reports", f"{SPACE}/ledger", "5432")
    good = done.code == 1 and all(each in done.out for each in wanted)
    happened = "said, and who" if good else f"ended with {done.code}"
    says = "access widens: who may call whom on which port, for a pull request"
    return Row(
        GROUP, "ringfence diff examples/shop CHANGED -o markdown", says, happened, good, done.out or done.message
    )


def _picture(admin: Client, place: Path) -> Row:
    picture = place / "shop.svg"
    done = attempts.ringfence(admin, "graph", "--filename", str(shop.DIRECTORY), "--out", str(picture))
    good = done.ok and picture.read_text(errors="replace").lstrip().startswith("<")
    says = "a picture: zones as boxes, and what crosses between them"
    return Row(GROUP, "ringfence graph -f examples/shop", says, done.message if good else "no picture", good)
