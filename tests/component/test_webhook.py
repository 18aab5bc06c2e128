"""The webhook as a process behind a real API server: what users see, and what happens when things go wrong."""

import pytest

from tests.component import webhook_rig
from tests.component.webhook_rig import IDENTITY, Rig, pod

pytestmark = pytest.mark.component


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    with webhook_rig.rig("webhook", tmp_path_factory.mktemp("webhook")) as made:
        made.enforced("shop")
        yield made


def test_pod_gets_the_label_of_its_service_account(rig: Rig) -> None:
    reply = rig.api.create(pod("labelled", "shop"))
    assert reply.ok, reply.message
    assert reply.body["metadata"]["labels"] == {IDENTITY: "default"}
