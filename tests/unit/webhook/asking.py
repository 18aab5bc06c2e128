"""A question put to a cluster that is made of objects, and its answer."""

import asyncio
import time
from typing import Any

from ringfence.webhook.review import Purpose

from tests.unit.webhook.fakes import FakeCluster
from tests.unit.webhook.reviews import decoded


def ask(cluster: FakeCluster, body: bytes, purpose: Purpose = Purpose.VALIDATE, **kwargs: Any) -> dict[str, Any]:
    answering = cluster.answering(**kwargs)
    return decoded(asyncio.run(answering.answer(purpose, body, time.monotonic() + 3)))


def refused(response: dict[str, Any]) -> str:
    assert not response["allowed"], response
    return str(response["status"]["message"])
