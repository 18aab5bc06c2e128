import pytest
from ringfence.controls.default_service_account import CONTROL

from tests.unit.controls.samples import asked, spec


@pytest.mark.parametrize("fields", [{"serviceAccountName": "till"}, {"serviceAccount": "till"}])
def test_another_passes(fields: dict) -> None:
    assert asked(CONTROL, spec(**fields)) == []


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"serviceAccountName": ""},
        {"serviceAccountName": None},
        {"serviceAccountName": "default"},
        {"serviceAccount": "default"},
        {"serviceAccountName": "default", "serviceAccount": "till"},
    ],
)
def test_default_is_refused_written_or_meant(fields: dict) -> None:
    assert asked(CONTROL, spec(**fields)) == ["spec.serviceAccountName"]
