"""Reviews and their whole answers as files: tests/golden/admission/<name>.in.yaml and .out.yaml."""

import asyncio
import time
from pathlib import Path

import pytest
import yaml
from ringfence.model.world import Enrolment
from ringfence.webhook.review import Purpose

from tests.conftest import Golden
from tests.unit.webhook.fakes import FakeCluster
from tests.unit.webhook.reviews import decoded, encoded

DIRECTORY = Path(__file__).resolve().parents[2] / "golden" / "admission"
NAMES = sorted(path.name.removesuffix(".in.yaml") for path in DIRECTORY.glob("*.in.yaml"))


class _Text(yaml.SafeDumper):
    """Long messages as blocks, one reason a line."""


_Text.add_representer(
    str,
    lambda dumper, value: dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None),
)


@pytest.mark.parametrize("name", NAMES)
def test_answer(name: str, golden: Golden) -> None:
    given = yaml.safe_load((DIRECTORY / f"{name}.in.yaml").read_text())
    asked = given["review"]
    body = encoded(
        asked.get("object"),
        asked.get("oldObject"),
        user=asked.get("user", "jane"),
        groups=tuple(asked.get("groups", ("system:authenticated",))),
        operation=asked.get("operation", ""),
        subresource=asked.get("subresource", ""),
        **asked.get("request", {}),
    )
    cluster = FakeCluster(given["cluster"], given.get("live", ()))
    answering = cluster.answering(Enrolment(given.get("defaultEnrolment", "none")))
    answer = asyncio.run(answering.answer(Purpose(given["purpose"]), body, time.monotonic() + 3))
    text = yaml.dump(decoded(answer), Dumper=_Text, sort_keys=True, allow_unicode=True, width=1000)
    golden.check(DIRECTORY / f"{name}.out.yaml", text)


def test_there_are_pairs() -> None:
    assert len(NAMES) >= 12
