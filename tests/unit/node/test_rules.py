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
    golden.check(GOLDEN / f"{name}.nft", rules.ruleset(2_000_000_123, strict=strict))


@pytest.mark.parametrize("uid", [0, 39_999, 65_534, proxy.FIRST_UID - 1, proxy.LAST_UID + 1, -1])
def test_a_user_that_is_no_proxys_is_never_exempt(uid: int) -> None:
    with pytest.raises(ValueError, match=f"user id {uid} is none of a proxy's"):
        rules.ruleset(uid, strict=True)


def test_the_user_id_stands_where_it_is_exempt_and_in_the_comment() -> None:
    text = rules.ruleset(proxy.LAST_UID, strict=True)
    lines = [line for line in text.splitlines() if str(proxy.LAST_UID) in line]
    assert [line.split()[0] for line in lines] == ["comment", "meta"]
    assert lines[1].split() == ["meta", "skuid", str(proxy.LAST_UID), "goto", "of_proxy"]
