"""What the demo reads out of the shop's files and out of programs' answers, and what it calls a surprise."""

import io

import pytest
import yaml
from rich.console import Console

from e2e.demo import connect, shop, table
from e2e.demo.attempts import Refusal, Row
from e2e.demo.client import Done
from e2e.demo.connect import Outcome

IMAGE = "registry.example:5000/agnhost:dev"


def test_the_shop_runs_the_image_of_the_cluster_and_is_otherwise_as_written() -> None:
    written = [each for each in shop.objects(f"{shop.PUBLISHED_IMAGE}:2.53") if each]
    files = [each for file in sorted(shop.DIRECTORY.glob("*.yaml")) for each in yaml.safe_load_all(file.read_text())]
    assert written == [each for each in files if each]
    text = yaml.safe_dump(shop.objects(IMAGE))
    assert text.count(IMAGE) == 6
    assert shop.PUBLISHED_IMAGE not in text


def test_every_service_is_in_the_files() -> None:
    deployments = {
        (each["metadata"]["namespace"], each["metadata"]["name"])
        for each in shop.objects(IMAGE)
        if each["kind"] == "Deployment"
    }
    assert deployments == {(each.namespace, each.name) for each in shop.EVERYBODY}


def test_a_pod_is_a_copy_that_may_be_changed() -> None:
    pod = shop.pod(shop.FRONTEND, IMAGE, "attempt")
    pod["spec"]["containers"].clear()
    assert shop.pod(shop.FRONTEND, IMAGE, "attempt")["spec"]["containers"]
    assert pod["metadata"] == {"name": "attempt", "namespace": "shop", "labels": {"app": "attempt"}}


@pytest.mark.parametrize(
    ("message", "outcome"),
    [
        ("TIMEOUT command terminated with exit code 1", Outcome.DROPPED),
        ("REFUSED command terminated with exit code 1", Outcome.REFUSED),
        ("CLOSED EOF command terminated with exit code 1", Outcome.CUT),
        ("DENIED HTTP/1.1 403 command terminated with exit code 1", Outcome.CUT),
        ("REFUSED: read udp 10.0.0.1:1->10.0.0.2:2: connection refused", Outcome.REFUSED),
        ("DNS: lookup nope.shop on 10.0.0.10:53: no such host", Outcome.NO_NAME),
        ('pods "frontend" not found', Outcome.BROKEN),
        ("", Outcome.BROKEN),
    ],
)
def test_a_failed_connection_is_told_by_how_it_failed(message: str, outcome: Outcome) -> None:
    assert connect.outcome_of(message) is outcome


@pytest.mark.parametrize(
    ("done", "passes", "as_said", "happened"),
    [
        (Done(1, "", "denied: set label x"), False, True, "refused"),
        (Done(1, "", "denied"), False, False, "refused, without a word of label x"),
        (Done(0, "created", ""), False, False, "passed"),
        (Done(0, "created", ""), True, True, "passed"),
        (Done(1, "", "denied: label x"), True, False, "refused"),
    ],
)
def test_a_surprise_is_whatever_goes_another_way(done: Done, passes: bool, as_said: bool, happened: str) -> None:
    mentions = () if passes else ("label x",)
    row = Refusal("try", "because", lambda: done, mentions, passes).row("group")
    assert (row.as_said, row.happened) == (as_said, happened)
    assert row.says == ("allow: because" if passes else "deny: because")


def test_the_table_shows_every_row_and_what_people_see() -> None:
    rows = [
        Row("connections", "a → b:1", "allow: rule [x]", "connected", True),
        Row("pods", "privileged", "deny: floor", "passed", False, "the message\n- with a list"),
    ]
    out = io.StringIO()
    table.show(rows, Console(file=out, width=120))
    text = out.getvalue()
    assert "\x1b" not in text
    for part in ("a → b:1", "allow: rule [x]", "ok", "SURPRISE", "the message", "- with a list"):
        assert part in text
    assert table.summary(rows) == "2 attempts, 1 surprises: privileged: passed"
    assert table.summary(rows[:1]) == "1 attempts, no surprise."
