"""Parameters of the query: what a rule matches, and what programs may read in two ways."""

import pytest
from ringfence.model.requests import Asks, QueryCondition, Request, Requests
from ringfence.model.resources import Action
from ringfence.policy import requests

#: What neither, only a Deny, or both match.
NO, WIDE, YES = (False, False), (False, True), (True, True)


def asked(test: Asks, *values: str, name: str = "env") -> Requests:
    return Requests(query=(QueryCondition(name, test, values),))


IN, NOT_IN, PREFIX = asked(Asks.IN, "prod"), asked(Asks.NOT_IN, "prod"), asked(Asks.PREFIX, "pro")
EXISTS, ABSENT = asked(Asks.EXISTS), asked(Asks.ABSENT)


@pytest.mark.parametrize(
    ("rule", "path", "answer"),
    [
        (IN, "/?env=prod", YES),
        (IN, "/?a=b&env=prod&c", YES),
        (IN, "/?env=production", NO),
        (IN, "/?env=PROD", NO),
        (IN, "/?x=env=prod", WIDE),
        (IN, "/?x?env=prod", WIDE),
        (IN, "/&env=prod", WIDE),
        (IN, "/", WIDE),
        (IN, "/?env", WIDE),
        (IN, "/?env=", WIDE),
        (IN, "/?xenv=prod", WIDE),
        (NOT_IN, "/?env=dev", YES),
        (NOT_IN, "/?env=prod", NO),
        (NOT_IN, "/?env=", WIDE),
        (NOT_IN, "/", WIDE),
        (PREFIX, "/?env=production", YES),
        (PREFIX, "/?env=dev", NO),
        (PREFIX, "/", WIDE),
        (EXISTS, "/?env=x", YES),
        (EXISTS, "/?env=", WIDE),
        (EXISTS, "/?env", WIDE),
        (EXISTS, "/", NO),
        (ABSENT, "/", YES),
        (ABSENT, "/?envx=1", YES),
        (ABSENT, "/?env", WIDE),
        (ABSENT, "/?env=x", NO),
    ],
)
def test_what_a_rule_matches(rule: Requests, path: str, answer: tuple[bool, bool]) -> None:
    request = Request(path=path)
    assert not requests.unclear(request, [rule])
    assert tuple(requests.matches(rule, request, action) for action in (Action.ALLOW, Action.DENY)) == answer


@pytest.mark.parametrize(
    "query",
    [
        "env=a&env=a",
        "env=a&env",
        "ENV=a",
        "env=a&Env=b",
        "x=1;env=a",
        "env=a&x;env",
        "env;x",
        "e%6ev=a",
        "%65%6E%76=a",
        "%20env=a",
        "+env=a",
        "env+=a",
        "env%00=a",
        "env[]=a",
        "env[x]=a",
        "env%5b%5d=a",
        "env=a&%65nv=b",
    ],
)
def test_names_that_programs_may_take_for_it_are_unclear(query: str) -> None:
    for rule in (IN, EXISTS, ABSENT):
        assert requests.unclear(Request(path=f"/?{query}"), [rule])
    if not query.startswith(("%20", "+")):
        assert not requests.unclear(Request(path=f"/?{query}"), [asked(Asks.EXISTS, name="team")])


@pytest.mark.parametrize("value", ["%70rod", "a+b", "a;b", "a%"])
def test_values_that_are_compared_are_written_plainly(value: str) -> None:
    for rule in (IN, NOT_IN, PREFIX):
        assert requests.unclear(Request(path=f"/?env={value}"), [rule])
    assert not requests.unclear(Request(path=f"/?env={value}"), [EXISTS])
    assert not requests.unclear(Request(path=f"/?x={value}&env=prod"), [IN])


@pytest.mark.parametrize("query", ["team.id=1", "team[id=1", "TEAM_id=1", "team%5Fid=1", "team%20id=1"])
def test_php_takes_some_characters_for_another(query: str) -> None:
    rule = asked(Asks.EXISTS, name="team_id")
    assert requests.unclear(Request(path=f"/?{query}"), [rule])
    assert not requests.unclear(Request(path="/?team-id=1&teamid=2&filter%5Bx%5D=3&%24top=4"), [rule])


def test_what_is_no_ascii_is_unclear() -> None:
    assert requests.unclear(Request(path="/?x=\xe9"), [IN])
    assert not requests.unclear(Request(path="/?x=\xe9"), [Requests()])
