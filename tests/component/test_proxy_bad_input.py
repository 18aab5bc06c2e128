"""A real Envoy with what people write: odd names, ports that nobody serves, Services that share one, wrong clocks."""

import re
import time
from dataclasses import replace
from typing import Any

import pytest
from ringfence.model.mesh import ServicePort
from ringfence.model.names import LABEL_IDENTITY
from ringfence.model.resources import AppliesTo, IdentityPeer, PortSpec
from ringfence.model.world import Workload

from tests.component import proxy_net
from tests.component.proxy_net import API, POD, WEB, Identities, Net
from tests.component.test_proxy_envoy import PODS, PORTS, call, config, lines
from tests.component.test_proxy_figures import STATISTICS, settled
from tests.unit.policy import making as policies
from tests.unit.policy.making import allow, caller, policy
from tests.unit.translate.envoy import making, test_configure

pytestmark = pytest.mark.component

#: The longest and the oddest that Kubernetes takes for a namespace, a policy, a rule, a ServiceAccount and a Service.
NAMES = {
    "short": ("0", "0", "0", "0", "0"),
    "dots and dashes": ("0-a--b", "0.a-b--c.1", "r-0--1", "1.x-y.z", "s--0"),
    "like parts of Envoy's own": ("tcp", "in.mesh.rbac.policy", "audit-denied", "allowed.plain", "cluster"),
    "the longest": ("n" * 63, ".".join(["p" * 62] * 4), "r" * 63, "a" * 63, "s" * 63),
}


@pytest.mark.parametrize("what", NAMES)
def test_names_that_kubernetes_takes_are_names(net: Net, svids: Identities, what: str) -> None:
    """In identities, policies, rules, Services and ports; logs and figures carry them whole."""
    namespace, name, rule, account, service = NAMES[what]
    other = f"{account[:-1]}x" if len(account) > 1 else "x"
    written = policy(
        name,
        namespace=namespace,
        applies_to=AppliesTo(identities=(account,)),
        ingress=(allow(rule, IdentityPeer(namespace, other)),),
    )
    pods = tuple(
        Workload(namespace, f"{each}-0", each, {LABEL_IDENTITY: each}, (ip,), proxied=True)
        for each, ip in ((account, POD), (other, WEB))
    )
    known = policies.world(
        written,
        pods=pods,
        namespaces=(policies.enforced(namespace),),
        identities=tuple(policies.identity(namespace, each) for each in (account, other)),
    )
    ports = (ServicePort("http-x", 80, "p-0--a1"), ServicePort("", 5432, 5432))
    services = {namespace: (replace(making.service(service, *ports, namespace=namespace), selector=selects(account)),)}
    named = [{"name": "c.0", "ports": [{"name": "p-0--a1", "containerPort": 8080}, {"containerPort": 5432}]}]
    made = making.configured(making.mesh(known, services), account, namespace, containers=named)
    good = svids.files(namespace, other)
    bad = svids.files(namespace, account)
    with proxy_net.running(net, made, svids.secrets(namespace, account), stats_config=STATISTICS) as log:
        wanted = [call(WEB, 8080, good, http=True), call(WEB, 5432, good), call(WEB, 8080, bad, http=True)]
        assert net.call([*wanted, call(WEB, 5432, bad)]) == ["allowed", "allowed", "denied", "denied"]
        found = settled(net)
    labels = f'policy="{namespace}/{name}#{rule}",transport="mesh"'
    assert found[f"envoy_http_in_rbac_policy_allowed{{{labels}}}"] == 1
    (request,) = (line for line in lines(log) if line.get("method") and line["policy"].get(ALLOWED))
    assert request["policy"][ALLOWED] == f"{namespace}/{name}#{rule}"
    assert request["peer"] == f"spiffe://cluster.local/ns/{namespace}/sa/{other}"


ALLOWED = "allow.enforced_effective_policy_id"


def selects(account: str) -> tuple[tuple[str, str], ...]:
    return ((LABEL_IDENTITY, account),)


def test_ports_that_nobody_serves_open_themselves_and_nothing_else(net: Net, svids: Identities) -> None:
    """By number, by a name that no container has, and as the last of all ports."""
    everything = policy(
        ingress=(
            allow("web", caller("web"), ports=(PortSpec(9999), PortSpec("nobody"), PortSpec(65535))),
            allow("api", caller("api"), ports=(PortSpec("nobody"),)),
        )
    )
    web, api = svids.files("shop", "web"), svids.files("shop", "api")
    with proxy_net.running(net, config(everything), svids.secrets("shop", "db")):
        opened = [call(WEB, port, web) for port in (9999, 65535)]
        closed = [call(WEB, port, web, http=port == 8080) for port in (8080, 5432, 9998, 65534)]
        closed += [call(API, port, api, http=port == 8080) for port in (8080, 5432, 9999)]
        assert net.call([*opened, *closed]) == ["allowed"] * 2 + ["denied"] * 7


@pytest.mark.parametrize(
    ("first", "second", "http"),
    [
        (ServicePort("http", 80, 8080), ServicePort("http", 80, 8080), True),
        (ServicePort("http", 80, 8080), ServicePort("web", 80, 8080), True),
        (ServicePort("http", 80, 8080), ServicePort("tcp-web", 80, 8080), False),
        (ServicePort("http", 80, 8080), ServicePort("sql", 80, 5432), True),
    ],
    ids=["both HTTP", "one says nothing", "they disagree", "one port, two ports of the pod"],
)
def test_two_services_on_one_port(
    net: Net, svids: Identities, first: ServicePort, second: ServicePort, http: bool
) -> None:
    """The pod calls itself by both: HTTP passes by both, and what is no HTTP wherever one of them says so."""
    services = (making.service("one", first), making.service("two", second, ip="10.96.0.2"))
    services = tuple(replace(each, selector=selects("db")) for each in services)
    known = policies.world(policy(ingress=(allow("self", caller("db")),)), pods=PODS)
    made = making.configured(making.mesh(known, {"shop": services}), "db", containers=PORTS)

    def to(target: str, *, speaks_http: bool) -> dict[str, Any]:
        return {**call("", 80), "target": target, "http": speaks_http, "first": False}

    with proxy_net.running(net, made, svids.secrets("shop", "db")):
        calls = [to("10.96.0.1", speaks_http=True), to("10.96.0.2", speaks_http=True)]
        assert net.call(calls, "pod") == ["allowed", "allowed"]
        if not http or second.target == 5432:
            assert net.call([to("10.96.0.2", speaks_http=False)], "pod") == ["allowed"]


@pytest.mark.parametrize("mine", [-300, 0, 300])
@pytest.mark.parametrize("theirs", [-300, 0, 300])
def test_certificates_of_signers_whose_clocks_are_wrong(net: Net, tmp_path: Any, mine: int, theirs: int) -> None:
    """Five minutes either way at either end: what is signed is good from this second on."""
    here = Identities(tmp_path, "cluster.local", skew=mine)
    there = here.beside(skew=theirs)
    made = config(policy(ingress=(allow("web", caller("web")),)))
    with proxy_net.running(net, made, here.secrets("shop", "db")):
        web = there.files("shop", "web")
        assert net.call([call(WEB, 8080, web, http=True), call(WEB, 5432, web)]) == ["allowed", "allowed"]


def test_five_thousand_rules_start_an_envoy_in_time(net: Net, svids: Identities, summary: Any) -> None:
    served = [{"name": "c", "ports": [{"containerPort": port} for port in range(1000, 1010)]}]
    taken = []
    for count in (1, 5000):
        each = making.configured(test_configure.many_rules(count), containers=served)
        began = time.monotonic()
        with proxy_net.running(net, each, svids.secrets("shop", "api")):
            taken.append((time.monotonic() - began, resident(net)))
    (before, idle), (after, full) = taken
    summary(
        f"5,000 rules on one identity: a real Envoy is ready after {after:.1f} s ({before:.1f} s with one rule) "
        f"and has {full - idle:.0f} MiB more"
    )
    assert after < max(20, 20 * before), "of a slow machine both are slow"
    assert full - idle < 64


def resident(net: Net) -> float:
    """MiB that Envoy has allocated."""
    told = re.search(rb'"allocated": "(\d+)"', proxy_net.ask(net.directory / "admin.sock", "/memory"))
    assert told is not None
    return int(told[1]) / 2**20
