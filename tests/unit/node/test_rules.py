"""The text of the redirect; what it does to packets is shown by tests/component/test_node_redirect.py."""

from pathlib import Path

import pytest
from ringfence.model import proxy
from ringfence.node import rules

from tests.conftest import Golden

GOLDEN = Path(__file__).parents[2] / "golden" / "node"


@pytest.mark.parametrize("strict", [True, False])
def test_the_text_is_what_it_was(golden: Golden, strict: bool) -> None:
    name = "enforce" if strict else "audit"
    golden.check(GOLDEN / f"{name}.nft", rules.ruleset(2_000_000_123, 2_000_000_456, strict=strict))


@pytest.mark.parametrize("uid", [0, 39_999, 65_534, proxy.FIRST_UID - 1, proxy.LAST_UID + 1, -1])
def test_a_user_that_is_no_proxys_is_never_exempt(uid: int) -> None:
    with pytest.raises(ValueError, match=f"user id {uid} is none of a proxy's"):
        rules.ruleset(uid, strict=True)
    if uid:
        with pytest.raises(ValueError, match=f"group id {uid} is none of a proxy's"):
            rules.ruleset(proxy.FIRST_UID, uid, strict=True)


@pytest.mark.parametrize("group", [0, proxy.FIRST_UID])
def test_user_and_group_stand_where_both_are_exempt(group: int) -> None:
    text = rules.ruleset(proxy.LAST_UID, group, strict=True)
    lines = [line for line in text.splitlines() if str(proxy.LAST_UID) in line]
    assert [line.split()[0] for line in lines] == ["comment", "meta"]
    both = ["meta", "skuid", str(proxy.LAST_UID), "meta", "skgid", str(group or proxy.LAST_UID)]
    assert lines[1].split() == [*both, "goto", "of_proxy"]
