"""The list is complete: every control is in it once, has a test of its own, and its name is what files are called."""

import re
from pathlib import Path

import pytest
from ringfence import controls
from ringfence.controls import proxy_floor, registry
from ringfence.controls.control import Control
from ringfence.controls.sessions import SESSIONS
from ringfence.model import signatures
from ringfence.model.demands import ControlId
from ringfence.model.resources import NEWEST_POD_SECURITY, PodSecurityLevel

MODULES = sorted(Path(controls.__file__).parent.glob("*.py"))
WITH_CONTROL = [path.stem for path in MODULES if re.search(r"^CONTROL: Final", path.read_text(), re.MULTILINE)]
NONE: frozenset[str] = frozenset()


def test_every_module_with_a_control_is_registered() -> None:
    ids = [*(each.id for each in registry.CONTROLS), *registry.POLICY_CONTROLS]
    assert sorted(each.replace("-", "_") for each in ids) == WITH_CONTROL


def test_every_control_that_a_policy_can_name_is_there() -> None:
    sessions = {each.control for each in SESSIONS.values()}
    assert set(registry.POLICY_CONTROLS) | sessions == set(ControlId)
    assert not set(registry.POLICY_CONTROLS) & sessions


def test_every_control_can_be_excepted() -> None:
    assert {each.id for each in registry.CONTROLS} | set(ControlId) | {
        signatures.CONTROL
    } | proxy_floor.IDS == registry.IDS


def test_what_a_control_supersedes_exists() -> None:
    assert {each.supersedes for each in registry.POLICY_CONTROLS.values()} - {""} <= set(registry.POLICY_CONTROLS)


@pytest.mark.parametrize("module", WITH_CONTROL)
def test_every_control_has_tests_of_its_own(module: str) -> None:
    assert Path(__file__).with_name(f"test_{module}.py").exists()


def test_levels_add_up() -> None:
    assert registry.active(PodSecurityLevel.PRIVILEGED) == ()
    baseline = {each.id for each in registry.active(PodSecurityLevel.BASELINE)}
    restricted = {each.id for each in registry.active(PodSecurityLevel.RESTRICTED)}
    superseded = {each.supersedes for each in registry.CONTROLS} - {""}
    assert baseline - superseded <= restricted
    assert superseded <= baseline
    assert not superseded & restricted
    assert len(baseline) == 12
    assert len(restricted) == 15


@pytest.mark.parametrize("control", registry.CONTROLS, ids=lambda each: each.id)
def test_a_history_is_in_order_and_ends_with_what_is_known(control: Control) -> None:
    since = [*(each.since for each in control.before), control.since]
    assert since == sorted(set(since))
    assert since[-1] <= NEWEST_POD_SECURITY
    assert control.at(NEWEST_POD_SECURITY) == control.at(None) == control
    for version in range(NEWEST_POD_SECURITY + 1):
        known = control.at(version)
        assert (known is None) == (version < since[0])
        if known is not None:
            assert known.since == max(each for each in since if each <= version)


def test_an_exception_takes_away_one_control_and_no_more() -> None:
    whole = set(registry.active(PodSecurityLevel.BASELINE))
    left = set(registry.active(PodSecurityLevel.BASELINE, frozenset({"host-ports"})))
    assert {each.id for each in whole - left} == {"host-ports"}
    assert not left - whole


def test_who_is_freed_of_the_stricter_form_is_bound_by_the_weaker_one() -> None:
    left = {each.id for each in registry.active(PodSecurityLevel.RESTRICTED, frozenset({"capabilities-restricted"}))}
    assert "capabilities" in left
    assert "capabilities-restricted" not in left


def test_who_is_freed_of_the_weaker_form_is_bound_by_the_stricter_one() -> None:
    left = {each.id for each in registry.active(PodSecurityLevel.RESTRICTED, frozenset({"capabilities"}))}
    assert "capabilities-restricted" in left
