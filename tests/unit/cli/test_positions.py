"""A field's path leads to its line."""

import pytest
from ringfence.cli import reader

TEXT = """\
kind: SecurityPolicy
metadata:
  labels:
    ringfence.dev/zone: a
    ringfence: b
spec:
  ingress:
    - name: one
      from:
        - zone: x
    - name: two
      ports: [80,
        443]
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("kind", 1),
        ("metadata.labels", 3),
        ("metadata.labels.ringfence.dev/zone", 4),
        ("metadata.labels[ringfence.dev/zone]", 4),
        ("metadata.labels.ringfence", 5),
        ("spec.ingress", 7),
        ("spec.ingress[0]", 8),
        ("spec.ingress[0].from[0].zone", 10),
        ("spec.ingress[1].ports[1]", 13),
        # Not there: where they would have to be.
        ("spec.ingress[1].from", 11),
        ("spec.ingress[9].from", 7),
        ("spec.egress", 6),
        ("status.conditions", 1),
        ("", 1),
        ("[", 1),
        ("spec.ingress[x", 7),
    ],
)
def test_line_of(path: str, line: int) -> None:
    (document,) = reader.documents(TEXT)
    assert document.position.line_of(path) == line
