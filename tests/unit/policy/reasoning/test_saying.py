"""Requests in few words: what rules allow, as written, less what is denied."""

from ringfence.model.requests import Asks, HeaderCondition, HttpMatch, Requests
from ringfence.policy.algebra import diagram, dimensions
from ringfence.policy.algebra.diagram import EVERYTHING, NOTHING, Diagram, cube, subtract, union
from ringfence.policy.algebra.texts import TextSet
from ringfence.policy.algebra.values import Attribute, Methods
from ringfence.policy.reasoning import saying, sent

ALLOW = Requests((HttpMatch(("GET", "POST"), ("/charges", "/charges/*")), HttpMatch(("POST",), ("/s/*",), grpc=True)))
REFUND = Requests((HttpMatch((), ("/charges/{*}/refund",)),), (HeaderCondition("x-env", Asks.NOT_IN, ("prod",)),))


def allowed(rule: Requests) -> list[Diagram]:
    return [sent.named(Requests((match,), rule.when), False) for match in rule.http]


def test_a_rule_is_said_as_it_is_written() -> None:
    parts = allowed(ALLOW)
    assert saying.sentences(union(parts), parts) == ("GET or POST /charges or /charges/*", "POST /s/* in gRPC")


def test_what_is_denied_is_taken_out_where_that_is_shorter() -> None:
    parts = allowed(ALLOW)
    left = subtract(union(parts), sent.named(REFUND, True))
    assert saying.sentences(left, parts) == (
        (
            "GET or POST /charges or /charges/* but not /charges/{*}/refund or /charges/{*}/refund/ with header x-env"
            " other than 'prod' or given more than once or missing"
        ),
        "POST /s/* in gRPC",
    )


def test_what_another_rule_says_already_is_not_said_again() -> None:
    parts = [EVERYTHING, *allowed(ALLOW)]
    assert saying.sentences(EVERYTHING, parts) == ("every request",)


def test_every_request_but_some() -> None:
    deny = sent.named(Requests((HttpMatch(("GET",), ("/admin/*",)),)), True)
    http = {"port": (6, 80), "traffic": "HTTP"}
    left = diagram.given(subtract(EVERYTHING, deny), http)
    assert saying.sentences(left, [EVERYTHING]) == ("every request but not GET or get /admin/*",)


def test_without_parts_it_is_said_all_the_same() -> None:
    assert saying.sentences(allowed(ALLOW)[0], ()) == ("GET or POST /charges or /charges/*",)
    assert saying.sentences(NOTHING, ()) == ()


def test_what_is_no_part_of_http_is_said_in_the_words_of_all_reports() -> None:
    values = Attribute(TextSet.exactly(("a",)))
    found = cube([(dimensions.METHOD, Methods.of(("GET",))), (dimensions.attribute("claim:sub"), values)])
    assert saying.sentences(found, ()) == ("GET with claim sub 'a'",)
