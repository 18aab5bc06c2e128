"""What the policies say is what connections do: the shop's whole truth table, and what the shop does not use."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest

from e2e.demo import attempts, install, shop
from e2e.demo.client import Client, until
from e2e.scenarios import support
from e2e.scenarios.conftest import Sandboxes
from e2e.scenarios.support import PORT, reaches, wait_cut, wait_reaches

pytestmark = [pytest.mark.node, pytest.mark.timeout(300)]

OPEN = {
    ("frontend", "checkout"),
    ("checkout", "payments"),
    ("payments", "ledger"),
    *((each.name, "frontend") for each in (shop.CHECKOUT, shop.LEDGER, shop.INTRUDER)),
}
"""What examples/shop is meant to allow, written by hand. Payments has `egress` and does not name the frontend."""


def test_the_shop_is_closed_as_its_policies_say(opened_shop: Client) -> None:
    # Pods are Ready before everybody's proxy has heard of them; what is closed is closed from the first.
    by_name = {each.name: each for each in shop.EVERYBODY}
    for source, target in sorted(OPEN):
        wait_reaches(opened_shop, by_name[source], by_name[target].address)
    rows = attempts.connections(opened_shop, lambda *call: attempts.can_i(opened_shop, *call))
    assert [row for row in rows if not row.as_said] == []


def test_its_policies_say_what_they_are_meant_to(opened_shop: Client) -> None:
    pairs = [each for each in itertools.permutations(shop.EVERYBODY, 2) if each[1] is not shop.INTRUDER]
    # A process for each question, which takes longer to start than to answer.
    with ThreadPoolExecutor(2) as pool:
        answers = pool.map(lambda p: attempts.can_i(opened_shop, p[0].identity, p[1].identity, p[1].port), pairs)
        for (source, target), answer in zip(pairs, answers, strict=True):
            assert answer.allowed is ((source.name, target.name) in OPEN), (source.name, target.name, answer.why)


def test_addresses_of_pods_are_no_way_around_names(opened_shop: Client) -> None:
    [pod] = opened_shop.get("pods", "--namespace=shop-data", "--selector=app=ledger")["items"]
    address = f"{pod['status']['podIP']}:{shop.LEDGER.port}"
    wait_reaches(opened_shop, shop.PAYMENTS, address)
    assert not reaches(opened_shop, shop.FRONTEND, address)
    assert not reaches(opened_shop, shop.INTRUDER, address)


def test_a_rule_takes_effect_and_goes_again(admin: Client, sandbox: Sandboxes) -> None:
    space = sandbox("rules", enroll="enforce")
    client, server = space.run("client", "server")
    space.wait_closed()
    assert not reaches(admin, client, server.address)
    admin.apply([space.allow("server", "client")])
    wait_reaches(admin, client, server.address)
    assert not reaches(admin, client, server.address, "udp")
    assert not reaches(admin, server, client.address)
    admin.run("delete", "securitypolicy", "server", f"--namespace={space.name}")
    wait_cut(admin, client, server.address)


def test_zone_namespace_and_protocol(admin: Client, sandbox: Sandboxes) -> None:
    target = sandbox("target", enroll="enforce", zone="inner")
    friend = sandbox("friend", enroll="enforce", zone="outer")
    plain = sandbox("plain")
    [server] = target.run("server")
    [caller] = friend.run("caller")
    [visitor] = plain.run("visitor", identity=False)
    rules = [
        {"name": "outer", "from": [{"zone": "outer"}], "ports": [PORT]},
        {"name": "visitors", "from": [{"namespace": plain.name}], "ports": [{"port": PORT, "protocol": "UDP"}]},
    ]
    admin.apply([target.policy("server", {"ingress": rules})])
    wait_reaches(admin, caller, server.address)
    wait_reaches(admin, visitor, server.address, "udp")
    assert not reaches(admin, caller, server.address, "udp")
    assert not reaches(admin, visitor, server.address)


def test_a_floor_closes_what_a_team_has_opened(admin: Client, sandbox: Sandboxes) -> None:
    space = sandbox("floored", enroll="enforce")
    client, server = space.run("client", "server")
    admin.apply([space.allow("server", "client")])
    wait_reaches(admin, client, server.address)
    name = f"floor-{space.name}"
    denied = {"name": "no-one", "action": "Deny", "from": [{"namespace": space.name}], "ports": [PORT]}
    admin.apply([space.floor(name, ingress=[denied])])
    try:
        wait_cut(admin, client, server.address)
    finally:
        admin.run("delete", "clustersecuritypolicy", name)
    wait_reaches(admin, client, server.address)


def test_the_way_to_the_api_server_is_a_rule(admin: Client, sandbox: Sandboxes) -> None:
    space = sandbox("apiserver", enroll="enforce")
    [client] = space.run("client")
    space.wait_closed()
    address = "kubernetes.default.svc:443"
    [endpoint] = admin.get("endpointslices", "--namespace=default", "--selector=kubernetes.io/service-name=kubernetes")[
        "items"
    ]
    assert not reaches(admin, client, address)
    rule = {"name": "kubernetes", "to": [{"apiServer": True}], "ports": [endpoint["ports"][0]["port"]]}
    admin.apply([space.policy("client", {"appliesTo": {"identities": ["client"]}, "egress": [rule]})])
    wait_reaches(admin, client, address)


def test_addresses_outside_are_open_only_as_a_rule_says(admin: Client, sandbox: Sandboxes) -> None:
    """A node's address stands for the world outside: no pod has it, and no other node counts it as its own."""
    space, plain = sandbox("caller", enroll="enforce"), sandbox("outside")
    [client] = space.run("client")
    space.wait_closed()
    address = f"{_listen_on_another_node(admin, plain, space)}:{support.OUTSIDE_PORT}"
    assert not reaches(admin, client, address)
    network, name = f"{address.partition(':')[0]}/32", f"floor-{space.name}"
    rule = {"name": "outside", "to": [{"cidr": network}], "ports": [support.OUTSIDE_PORT]}
    admin.apply([space.policy("client", {"appliesTo": {"identities": ["client"]}, "egress": [rule]})])
    wait_reaches(admin, client, address)
    admin.apply([space.floor(name, egress=[{"name": "closed", "action": "Deny", "to": [{"cidr": network}]}])])
    try:
        wait_cut(admin, client, address)
    finally:
        admin.run("delete", "clustersecuritypolicy", name)


def _listen_on_another_node(admin: Client, plain: support.Sandbox, space: support.Sandbox) -> str:
    """Starts a program on the network of a node that `space` has no pod on; that node's address."""
    taken = {each["spec"]["nodeName"] for each in admin.get("pods", f"--namespace={space.name}")["items"]}
    nodes = {each["metadata"]["name"]: each for each in admin.get("nodes")["items"]}
    node = next(name for name in sorted(nodes) if name not in taken)
    pod = plain.pod("listener", "default")
    pod["spec"].update({"hostNetwork": True, "nodeName": node})
    [container] = pod["spec"]["containers"]
    container["args"] = ["netexec", f"--http-port={support.OUTSIDE_PORT}", f"--udp-port={support.OUTSIDE_PORT}"]
    container["ports"] = []
    container["readinessProbe"]["httpGet"]["port"] = support.OUTSIDE_PORT
    until(lambda: admin.attempt("get", "serviceaccount", "default", f"--namespace={plain.name}").ok, "an account")
    admin.apply([pod])
    admin.run("wait", "pod/listener", f"--namespace={plain.name}", "--for=condition=Ready", "--timeout=60s")
    addresses = nodes[node]["status"]["addresses"]
    return next(str(each["address"]) for each in addresses if each["type"] == "InternalIP")


def test_ringfences_own_pods_are_reached_where_they_must_be_only(admin: Client, sandbox: Sandboxes) -> None:
    [visitor] = sandbox("visitor").run("visitor", identity=False)
    pods = admin.get("pods", f"--namespace={install.NAMESPACE}")["items"]
    addresses = {
        each["metadata"]["labels"]["app.kubernetes.io/component"]: each["status"]["podIP"]
        for each in pods
        if "deletionTimestamp" not in each["metadata"]
    }
    assert reaches(admin, visitor, f"{addresses['webhook']}:9443", "tls")
    assert not reaches(admin, visitor, f"{addresses['webhook']}:8081")
    assert not reaches(admin, visitor, f"{addresses['controller']}:8081")


def test_what_a_policy_gets_wrong_it_says(admin: Client, sandbox: Sandboxes) -> None:
    space = sandbox("wrong", enroll="enforce")
    unknown = {"name": "who", "from": [{"identity": {"namespace": space.name, "name": "nobody"}}], "ports": [PORT]}
    admin.apply([space.policy("server", {"ingress": [unknown]})])

    def conditions() -> list[dict[str, str]]:
        status = admin.get("securitypolicy", "server", f"--namespace={space.name}").get("status", {})
        return [each for each in status.get("conditions", []) if "nobody" in each["message"]]

    until(lambda: bool(conditions()), "the policy says that it names nobody", 20)
