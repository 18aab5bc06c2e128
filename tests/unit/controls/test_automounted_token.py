import pytest
from ringfence.controls.automounted_token import CONTROL

from tests.unit.controls.samples import asked, spec


def test_false_passes() -> None:
    assert asked(CONTROL, spec(automountServiceAccountToken=False)) == []


@pytest.mark.parametrize("fields", [{}, {"automountServiceAccountToken": True}, {"automountServiceAccountToken": None}])
def test_everything_else_is_refused(fields: dict) -> None:
    assert asked(CONTROL, spec(**fields)) == ["spec.automountServiceAccountToken"]


def test_a_token_that_the_pod_asks_for_is_its_own() -> None:
    sources = [{"serviceAccountToken": {"audience": "vault", "path": "token"}}]
    volumes = [{"name": "token", "projected": {"sources": sources}}]
    assert asked(CONTROL, spec(automountServiceAccountToken=False, volumes=volumes)) == []
