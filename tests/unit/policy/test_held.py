"""Rules about requests where proxies judge them, and where nobody does."""

from dataclasses import replace

from ringfence.model.requests import HttpMatch, Opaque, Request, Requests
from ringfence.model.resources import Action, Mode, Protocol
from ringfence.model.verdict import Half, Reason
from ringfence.model.world import Workload, World
from ringfence.policy import explain
from ringfence.policy.decide import decide
from ringfence.policy.held import NO_PROXY
from ringfence.translate import network_policy

from tests.unit.policy import making
from tests.unit.policy.making import allow, caller, deny, policy

CHARGES = Requests((HttpMatch(("POST",), ("/charges",)),))
DB, WEB = (replace(making.pod(name), proxied=True) for name in ("db", "web"))
RULE = replace(allow("charges", caller("web"), ports=(8080,)), requests=CHARGES)
DENIAL = replace(deny("charges", caller("web"), ports=(8080,)), requests=CHARGES)
PORT = allow("port", caller("web"), ports=(8080,))


def known(
    *rules: object, proxies: bool = True, pods: tuple[Workload, ...] = (DB, WEB), mode: Mode = Mode.ENFORCE
) -> World:
    installation = replace(making.INSTALLATION, proxies=proxies)
    return making.world(policy(ingress=rules, mode=mode), pods=pods, installation=installation)  # type: ignore[arg-type]


def half(world: World, request: Request | Opaque | None = None, target: Workload = DB) -> Half:
    effective = making.effective(world)
    return decide(world, effective, WEB, target, Protocol.TCP, 8080, request=request).ingress


def opens(world: World) -> bool:
    objects = network_policy.objects(making.effective(world)("shop"), world.installation)
    return any("policy-p-ingress" in each["metadata"]["name"] for each in objects)


def test_an_allow_of_some_requests_opens_the_port_and_allows_those() -> None:
    world = known(RULE)
    assert opens(world)
    assert half(world).reason is Reason.ALLOWED_FOR_REQUESTS
    assert half(world, Request("POST", "/charges")).reason is Reason.ALLOWED_BY_RULE
    assert half(world, Request("GET", "/charges")).reason is Reason.NO_RULE_ALLOWS
    assert half(world, Opaque()).reason is Reason.NO_RULE_ALLOWS
    assert making.findings(world, "RequestsNotJudged") == []


def test_a_deny_of_some_requests_leaves_the_port_open_for_the_others() -> None:
    world = known(PORT, DENIAL)
    assert opens(world)
    assert half(world).reason is Reason.ALLOWED_BY_RULE
    assert half(world, Request("POST", "/charges/")).reason is Reason.DENIED_BY_RULE
    assert half(world, Request("POST", "/others")).reason is Reason.ALLOWED_BY_RULE
    assert half(world, Opaque()).reason is Reason.DENIED_BY_RULE


def test_without_proxies_an_allow_opens_nothing_and_a_deny_closes_all() -> None:
    for rules, allowed in (((RULE,), False), ((PORT, DENIAL), False), ((PORT,), True)):
        world = known(*rules, proxies=False)
        assert opens(world) is allowed
        assert half(world, Request("POST", "/others")).allowed is allowed
        assert half(world).allowed is allowed
    (finding,) = making.findings(known(RULE, proxies=False), "RequestsNotJudged")
    assert finding.message == (
        "rule charges allows nothing: it is about requests, and pods get no proxies here; set proxy.enabled in the"
        " chart"
    )


def test_one_pod_without_a_proxy_closes_what_governs_it() -> None:
    """The network knows no pod by name: what it opens to one of a label it opens to all."""
    old = replace(DB, name="old", proxied=False)
    world = known(RULE, PORT, DENIAL, pods=(DB, WEB, old))
    assert not opens(world)
    for target in (DB, old):
        assert half(world, Request("GET", "/"), target).reason is Reason.DENIED_BY_RULE
    messages = [each.message for each in making.findings(world, "RequestsNotJudged")]
    assert all("have no proxy: old; restart them" in message for message in messages)
    assert opens(known(RULE, pods=(DB, WEB, replace(old, finished=True))))
    assert opens(known(RULE, pods=(DB, WEB, replace(old, host_network=True))))


def test_a_suspended_allow_says_why() -> None:
    world = known(RULE, proxies=False)
    (rule,) = (r for r in making.effective(world)("shop").rules if r.ref.rule == "charges")
    assert rule.suspended_by == rule.suspended_in_audit == NO_PROXY
    found = half(world)
    assert found.reason is Reason.RULE_SUSPENDED
    hints = explain.Judged(world, making.effective(world), WEB, DB, Protocol.TCP, 8080).hints(found)
    assert hints == ("it is about requests, which no proxy judges here",)


def test_what_came_close_is_told_with_the_requests() -> None:
    world = known(RULE)
    for request, text in (
        (Request("GET", "/charges"), "but only for POST /charges (method differs)"),
        (Opaque(), "but only for POST /charges, and the port does not speak HTTP as far as Services say"),
    ):
        judged = explain.Judged(world, making.effective(world), WEB, DB, Protocol.TCP, 8080, request)
        assert judged.hints(half(world, request)) == (f"SecurityPolicy shop/p rule charges comes close, {text}",)


def test_audit_tells_what_would_be_denied() -> None:
    rules = policy("q", ingress=(DENIAL,), mode=Mode.AUDIT)
    installation = replace(making.INSTALLATION, proxies=True)
    world = making.world(policy(ingress=(PORT,)), rules, pods=(DB, WEB), installation=installation)
    found = half(world, Request("POST", "/charges"))
    assert (found.allowed, found.audit, found.audit_rule and found.audit_rule.rule) == (True, False, "charges")
    assert half(world, Request("POST", "/others")).audit is None


def test_rules_that_let_some_pass_are_listed_denies_first() -> None:
    world = known(RULE, DENIAL, PORT)
    found = explain.Judged(world, making.effective(world), WEB, DB, Protocol.TCP, 8080).conditional()
    assert [(rule.action, rule.ref.rule) for rule in found] == [(Action.DENY, "charges"), (Action.ALLOW, "charges")]
