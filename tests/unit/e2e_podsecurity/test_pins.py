"""The judge is of the Kubernetes that the test cluster runs, and Ringfence knows its standards and no newer ones."""

import re
from pathlib import Path

from ringfence.model.resources import NEWEST_POD_SECURITY

from e2e import cluster, podsecurity

PROGRAMS = Path(cluster.__file__).parent / "programs" / "go.mod"
JUDGE = podsecurity.MODULE.source / "go.mod"
_PIN = re.compile(r"^\t(\S+) (v\S+)(?: // indirect)?$", re.MULTILINE)
_REPLACED = re.compile(r"^\t(\S+) => \1 (v\S+)$", re.MULTILINE)


def pins(path: Path) -> dict[str, str]:
    text = path.read_text()
    return {**dict(_PIN.findall(text)), **dict(_REPLACED.findall(text))}


def test_both_are_made_of_the_same_modules() -> None:
    """Else the compiler builds most of Kubernetes twice."""
    theirs, ours = pins(PROGRAMS), pins(JUDGE)
    assert podsecurity.UPSTREAM in ours
    others = {name: version for name, version in ours.items() if not name.startswith("ringfence.dev/")}
    assert {name: version for name, version in others.items() if theirs.get(name) != version} == {}


def test_the_newest_standard_is_that_of_the_judge() -> None:
    match = re.fullmatch(r"v0\.([0-9]+)\.[0-9]+", pins(JUDGE)[podsecurity.UPSTREAM])
    assert match is not None
    assert int(match[1]) == NEWEST_POD_SECURITY
