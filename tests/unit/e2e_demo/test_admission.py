"""What the demo calls a surprise when a careless Deployment is applied: no warning, no refusal, a word too few."""

import json
from typing import Any

import pytest

from e2e.demo import admission
from e2e.demo.client import Done

EVERYTHING = "Warning: Ringfence: hostNetwork, securityContext.privileged, runAsNonRoot"


class FakeAdmin:
    """kubectl of a cluster that says what it is told to."""

    def __init__(self, warning: str, refusal: str) -> None:
        self.warning, self.refusal = warning, refusal
        self.deleted = False
        self.applied: dict[str, Any] = {}

    def attempt(self, verb: str, *_: str, stdin: str = "") -> Done:
        if verb == "apply":
            self.applied = json.loads(stdin)
            return Done(0, "created", self.warning)
        self.deleted = verb == "delete"
        return Done(0, "", "")

    def get(self, *_: str) -> dict[str, Any]:
        event = {"involvedObject": {"name": "careless-1"}, "message": self.refusal}
        other = {"involvedObject": {"name": "another-1"}, "message": "theirs"}
        return {"items": [other, event]}


@pytest.mark.parametrize(
    ("warning", "refusal", "as_said"),
    [
        (EVERYTHING, EVERYTHING, (True, True)),
        ("", EVERYTHING, (False, True)),
        (EVERYTHING, "denied: hostNetwork", (True, False)),
    ],
)
def test_both_must_name_everything_that_is_wrong(warning: str, refusal: str, as_said: tuple[bool, bool]) -> None:
    admin = FakeAdmin(warning, refusal)
    rows = admission.careless(admin, "registry.example/agnhost:dev")  # type: ignore[arg-type]
    assert tuple(row.as_said for row in rows) == as_said
    assert admin.deleted, "it is taken away again"
    spec = admin.applied["spec"]["template"]["spec"]
    assert spec["hostNetwork"]
    assert all(each["securityContext"] == {"privileged": True} for each in spec["containers"])
