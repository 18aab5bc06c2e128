"""The reference names every field with what people need to know of it."""

from ringfence.api import reference
from ringfence.api.v1alpha1 import RESOURCES

PAGE = reference.markdown(RESOURCES)


def test_fields_stand_with_type_presence_and_meaning() -> None:
    assert (
        "| `spec.ingress[].action` | `Allow`, `Deny` | default `Allow` |"
        " What happens to calls that match. Deny wins over every Allow. Default: Allow. |"
    ) in PAGE
    assert "| `spec.ingress[].name` | string, at most 63 characters | required |" in PAGE
    assert "| `spec.ingress[].ports[].port` | number or name | required |" in PAGE
    assert "| `status.conditions[].type` |" in PAGE


def test_every_kind_has_its_example() -> None:
    for resource in RESOURCES:
        assert f"## {resource.kind}\n" in PAGE
        assert resource.example.strip() in PAGE


def test_tables_are_whole() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("|")]
    assert len(rows) > 100
    assert all(line.replace("\\|", "").count("|") == 5 for line in rows)
