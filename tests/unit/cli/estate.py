"""An estate of many services to look at: `python -m tests.unit.cli.estate [SERVICES] > estate.json`.

Like what companies have: teams with a namespace each, an edge, stores of data, and those who watch all of them.
"""

import json
import random
import sys
from typing import Any, Final

#: Teams of each zone; most services are of the second.
TEAMS: Final = {
    "public": ("edge", "web", "mobile"),
    "apps": ("orders", "billing", "catalog", "search", "users", "shipping", "pricing", "mail", "reviews", "stock"),
    "data": ("stores", "warehouse"),
    "ops": ("monitoring", "deploy"),
}
_KINDS: Final = ("api", "worker", "cache", "jobs", "admin", "sync", "export", "events", "rules", "views")


def documents(services: int = 200) -> list[dict[str, Any]]:
    """Namespaces, identities and policies; the same for the same number."""
    dice = random.Random(services)  # noqa: S311 (the same estate each time)
    spaces = [(zone, team) for zone, teams in TEAMS.items() for team in teams]
    named = [
        (*spaces[number % len(spaces)], f"{_KINDS[number // len(spaces) % len(_KINDS)]}{_again(number, len(spaces))}")
        for number in range(services)
    ]
    found = [_namespace(zone, team) for zone, team in spaces]
    found += [_identity(team, name) for _, team, name in named]
    for zone, team, name in named:
        callers = sorted(_callers(dice, zone, team, named))
        rules = (
            [_rule("callers", [_by(*each) for each in callers], 8080 if zone != "data" else 5432)] if callers else []
        )
        rules += [_rule("metrics", [_by("monitoring", "api")], 9090)] if team != "monitoring" else []
        rules += [_rule("world", [{"anonymous": True}], 8443)] if (team, name) == ("edge", "api") else []
        found.append(_policy(team, name, rules))
    return found


def _again(number: int, spaces: int) -> str:
    round_ = number // (spaces * len(_KINDS))
    return f"-{round_ + 1}" if round_ else ""


def _callers(dice: random.Random, zone: str, team: str, named: list[tuple[str, str, str]]) -> set[tuple[str, str]]:
    """A few of the own team, and some of those who usually call such a zone."""
    own = [(other, name) for _, other, name in named if other == team]
    before = {"apps": ("public", "apps"), "data": ("apps",), "public": ("public",), "ops": ("ops",)}[zone]
    others = [(other, name) for from_, other, name in named if from_ in before and other != team]
    found = set(dice.sample(own, min(len(own), 2)))
    if dice.random() < (0.8 if zone == "data" else 0.35):
        found |= set(dice.sample(others, min(len(others), 2)))
    return found


def _namespace(zone: str, team: str) -> dict[str, Any]:
    labels = {"ringfence.dev/enroll": "enforce", "ringfence.dev/zone": zone}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": team, "labels": labels}}


def _identity(team: str, name: str) -> dict[str, Any]:
    return {
        "apiVersion": "ringfence.dev/v1alpha1",
        "kind": "ServiceIdentity",
        "metadata": {"name": name, "namespace": team},
    }


def _policy(team: str, name: str, rules: list[dict[str, Any]]) -> dict[str, Any]:
    spec: dict[str, Any] = {"appliesTo": {"identities": [name]}}
    return {
        "apiVersion": "ringfence.dev/v1alpha1",
        "kind": "SecurityPolicy",
        "metadata": {"name": name, "namespace": team},
        "spec": {**spec, "ingress": rules} if rules else {**spec, "transport": {"mtls": "Strict"}},
    }


def _rule(name: str, peers: list[dict[str, Any]], port: int) -> dict[str, Any]:
    return {"name": name, "from": peers, "ports": [port]}


def _by(team: str, name: str) -> dict[str, Any]:
    return {"identity": {"namespace": team, "name": name}}


if __name__ == "__main__":
    items = documents(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
    print(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, indent=1))
