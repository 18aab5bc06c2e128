"""What records have of requests is used, what they lack is named; and which host outside it was."""

from dataclasses import replace
from typing import Any

from ringfence.flows.flow import Flow, Party
from ringfence.model import windows
from ringfence.model.requests import Asks, HeaderCondition, HttpMatch, QueryCondition, Request, Requests, TimeCondition
from ringfence.model.resources import CidrPeer, HostPeer, Protocol
from ringfence.model.tokens import Issuer, TokenMatch, cluster_key, own_key
from ringfence.model.world import World

from tests.unit.flows.test_replay import about, flow, get, named, replayed, why, world
from tests.unit.policy import making
from tests.unit.policy.making import allow, deny, policy


def asking(**said: Any) -> World:
    return world(policy(ingress=(about(Requests((HttpMatch(("GET",)),), **said)),)))


TENANT = asking(query=(QueryCondition("tenant", Asks.IN, ("a",)),))


def test_a_query_is_read_where_the_record_has_it() -> None:
    assert why(replayed(TENANT, [get("/x")])) == "rules look at the query (tenant), which the record does not have"
    assert len(replayed(TENANT, [get("/x", "PUT")]).broken) == 1
    asked = ["/x?tenant=a", "/y?z=1&tenant=a", "/x?tenant=b", "/x", "/x?tenant=a&tenant=b", "/x?tenant=%61"]
    found = replayed(TENANT, [get(each, query=True) for each in asked])
    assert (found.allowed.count, len(found.unknown)) == (2, 0)
    assert sum(group.seen.count for group in found.broken.values()) == 4


#: 2027-01-15 is a Friday; 08:00 UTC.
FRIDAY = 1800000000.0
WORK = TimeCondition((windows.Window(days=(0, 1, 2, 3, 4), opens=8 * 3600, closes=17 * 3600),))


def test_the_time_of_a_record_is_the_requests() -> None:
    known = asking(times=(WORK,))
    assert why(replayed(known, [get("/")])) == "rules look at the time, which the record does not have"
    hours = [get("/", first=at, last=at) for at in (FRIDAY, FRIDAY + 3600.9, FRIDAY - 1, FRIDAY + 86400)]
    found = replayed(known, hours)
    assert (found.allowed.count, sum(group.seen.count for group in found.broken.values())) == (2, 2)
    spread = replayed(known, [get("/", first=FRIDAY, last=FRIDAY + 9, count=3)])
    assert why(spread) == "rules look at the time, which the record does not have"


WRITERS = TokenMatch(cluster_key("corp"), (("scope", ("write",)),))
CORP = Issuer("corp", "https://corp.example", ("pay",), '{"keys":[]}')


def issuing(made: Any) -> Any:
    return replace(made, spec=replace(made.spec, issuers=(CORP,)))


def test_tokens_count_where_the_record_tells_of_them_and_of_all_headers() -> None:
    rule = about(Requests((HttpMatch(("GET",)),), token=WRITERS))
    known = world(policy(ingress=(rule,)), floors=(issuing(making.floor()),))
    want = "rules look at the token of corp, which the record does not have"
    said: dict[str, Any] = {"tokens": (("corp", (("scope", ("read", "write")),)),)}
    assert why(replayed(known, [get("/")])) == want
    assert why(replayed(known, [get("/", **said)])) == want
    found = [
        get("/", headers=True, **said),
        get("/", headers=True),
        get("/", headers=True, tokens=(("corp", None),)),
        get("/", headers=True, tokens=(("corp", ()),)),
        get("/", headers=True, tokens=(("other", (("scope", ("write",)),)),)),
    ]
    done = replayed(known, found)
    assert (done.allowed.count, len(done.unknown)) == (1, 0)
    assert sum(group.seen.count for group in done.broken.values()) == 4
    kept = Request("GET", "/", "db.shop", {"authorization": ("Bearer a.b.c",)})
    assert why(replayed(known, [flow(port=8080, request=kept, headers=True)])) == want


def test_two_issuers_of_a_name_are_not_told_apart() -> None:
    own = TokenMatch(own_key("shop", "p", "corp"))
    rules = tuple(about(Requests(token=each), name) for name, each in (("a", WRITERS), ("b", own)))
    known = world(issuing(policy(ingress=rules)), floors=(issuing(making.floor()),))
    said = get("/", headers=True, tokens=(("corp", (("scope", ("write",)),)),))
    assert "the token of corp" in why(replayed(known, [said]))


def test_all_that_is_missing_is_told() -> None:
    rule = about(
        Requests(
            (HttpMatch(hosts=("db.shop",)),),
            (HeaderCondition("x-env", Asks.EXISTS),),
            (QueryCondition("tenant", Asks.EXISTS),),
            (WORK,),
            WRITERS,
        )
    )
    assert why(replayed(world(policy(ingress=(rule,))), [get("/", host="")])) == (
        "rules look at the host, headers (x-env), the query (tenant), the time and the token of corp, which the record "
        "does not have"
    )


# --- hosts outside ----------------------------------------------------------------------------------------------------


def out(ip: str = "198.18.0.1", host: str = "", port: int = 443) -> Flow:
    return Flow(named("shop/web"), Party(ip=ip, host=host), Protocol.TCP, port, plaintext=True)


NAMES = policy(
    "names",
    applies_to=making.AppliesTo(identities=("web",)),
    egress=(allow("bank", HostPeer("api.bank.example"), HostPeer("*.cdn.example"), ports=(443,)),),
)


def test_a_host_that_was_called_by_its_name_is_judged_by_it() -> None:
    flows = [
        out("1.2.3.4", "api.bank.example"),
        out("1.2.3.5", "a.cdn.example"),
        out("", "api.bank.example"),
        out("1.2.3.4", "evil.example"),
        out("1.2.3.4", "api.bank.example", 80),
        # It leads inside, which no proxy takes a name to.
        out("10.1.2.3", "api.bank.example"),
        out("", "a.b.cdn.example"),
    ]
    found = replayed(world(NAMES), flows)
    assert (found.allowed.count, len(found.unknown)) == (3, 0)
    assert sorted((group.port, dict(group.addresses)) for group in found.broken.values()) == [
        (80, {"api.bank.example": 1}),
        (443, {"evil.example": 1, "api.bank.example": 1, "a.b.cdn.example": 1}),
    ]
    assert {ref.rule for _, ref in found.used} == {"bank"}


def test_an_address_alone_does_not_say_which_host_it_was() -> None:
    found = replayed(world(NAMES), [out("1.2.3.4")])
    assert why(found) == "a rule allows hosts by name, and the record has only an address"


def test_an_address_that_is_denied_is_closed_whatever_its_name() -> None:
    never = policy("never", egress=(deny("no", CidrPeer("1.2.3.0/24")),))
    found = replayed(world(NAMES, never), [out("1.2.3.4", "api.bank.example"), out("1.2.4.4", "api.bank.example")])
    assert (found.allowed.count, len(found.broken)) == (1, 1)
    # Without the address nobody can say.
    assert len(replayed(world(NAMES, never), [out("", "api.bank.example")]).unknown) == 1


def test_whose_log_it_is_has_to_be_known() -> None:
    flow_ = Flow(Party(local=True), Party(ip="1.2.3.4", host="api.bank.example"), Protocol.TCP, 443)
    assert "--flows NAMESPACE/IDENTITY=FILE does" in why(replayed(world(NAMES), [flow_]))
