"""Ways around a proxy's two sides: TLS that is not what it seems, requests that say another place than they go to."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ringfence.model.mesh import ServicePort
from ringfence.model.requests import HttpMatch, Requests
from ringfence.model.resources import AnonymousPeer, CidrPeer, PortSpec

from tests.component import proxy_net, test_proxy_envoy
from tests.component.proxy_net import API, POD, WEB, Identities, Net
from tests.component.test_proxy_envoy import PODS, PORTS, config, lines, probing
from tests.component.test_proxy_figures import permissive
from tests.unit.policy import making as policies
from tests.unit.policy.making import allow, caller, policy
from tests.unit.translate.envoy import making

pytestmark = pytest.mark.component

#: In Permissive the API's address means its identity; nobody's is that of no pod.
NOBODY = "10.244.0.99"


def script(net: Net, side: str, code: str, *arguments: Any) -> Any:
    """What a program inside one of the networks prints as JSON."""
    command = net.command(side, sys.executable, "-c", code, *(json.dumps(each) for each in arguments))
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


#: A ClientHello as it would be sent, and what comes back before anything of TLS is answered: `program` when its bytes
#: were passed on to the program, which speaks no TLS.
_HELLO = """
import json, socket, ssl, sys
pod, knocks = map(json.loads, sys.argv[1:])
found = []
for source, port, offer, name in knocks:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if offer:
        context.set_alpn_protocols(offer)
    out = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name or None)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    with socket.create_connection((pod, port), 10, (source, 0)) as connection:
        connection.sendall(out.read() if offer is not None else b"hello")
        try:
            said = connection.recv(7)
        except ConnectionError:
            said = b""
    found.append("program" if said == b"program" else "TLS" if said[:1] in (b"\\x15", b"\\x16") else "nothing")
print(json.dumps(found))
"""

#: None is plaintext, else what is offered by ALPN.
OFFERS: tuple[list[str] | None, ...] = (None, [], ["h2"], ["http/1.1", "ringfence"], ["ringfence"], ["ringfence", "h2"])
NAMES = ("", "db.shop.svc", "inbound", "in|5432|plain|allowed|shop/p#web")
KNOCKS = [(source, offer, name) for source in (WEB, API, NOBODY) for offer in OFFERS for name in NAMES]


@pytest.fixture
def everybody(net: Net) -> None:
    net.give("callers", [WEB, API, NOBODY])


def knocked(net: Net) -> dict[tuple[str, str], set[str]]:
    """What came back on the TCP port, by source and whether the mesh's own protocol was among those offered."""
    said = script(net, "callers", _HELLO, POD, [(source, 5432, offer, name) for source, offer, name in KNOCKS])
    found: dict[tuple[str, str], set[str]] = {}
    for (source, offer, _), answer in zip(KNOCKS, said, strict=True):
        kind = "plain" if offer is None else "mesh" if "ringfence" in offer else "own"
        found.setdefault((source, kind), set()).add(answer)
    return found


def test_no_offer_and_no_name_leads_past_a_strict_port(net: Net, svids: Identities, everybody: None) -> None:
    """Whoever has the address of web, but no certificate."""
    with proxy_net.running(net, config(policy(ingress=(allow("web", caller("web")),))), svids.secrets("shop", "db")):
        found = knocked(net)
    assert len(found) == 9
    assert "program" not in set().union(*found.values())


def test_none_leads_past_the_rules_of_a_permissive_port(net: Net, svids: Identities, everybody: None) -> None:
    """What is passed on is what comes from the address of who may; what offers the mesh's protocol shows who it is."""
    made = config(permissive(), policy(ingress=(allow("web", caller("web")),)))
    with proxy_net.running(net, made, svids.secrets("shop", "db")):
        found = knocked(net)
    assert found.pop((WEB, "plain")) == {"program"}
    assert found.pop((WEB, "own")) == {"program"}
    assert len(found) == 7
    assert "program" not in set().union(*found.values())


def test_none_makes_an_identity_of_an_anonymous_caller(net: Net, svids: Identities, everybody: None) -> None:
    """A port that is open to anybody stays closed to those who claim to be of the mesh and cannot show it."""
    made = config(policy(ingress=(allow("all", AnonymousPeer(), ports=(PortSpec(5432),)),)))
    with proxy_net.running(net, made, svids.secrets("shop", "db")):
        found = knocked(net)
    for source in (WEB, API, NOBODY):
        assert found[source, "plain"] == found[source, "own"] == {"program"}
        assert "program" not in found[source, "mesh"]


# --- what goes out

#: Requests that say another place than they are sent to. The first word of the answer is the status, "" for no answer.
_REQUESTS = """
import encodings.idna, json, os, socket, sys
os.setuid(int(sys.argv[1]))
found = []
for address, port, text in json.loads(sys.argv[2]):
    try:
        with socket.create_connection((address, port), 10) as connection:
            connection.settimeout(10)
            connection.sendall(text.encode("latin-1"))
            found.append(connection.recv(4096).decode("latin-1"))
    except OSError:
        found.append("")
print(json.dumps(found))
"""
SERVICES = {
    "shop": (
        making.service("api", ServicePort("http", 80, 8080), ServicePort("sql", 5432, 5432), ip="10.96.0.2"),
        making.service("web", ServicePort("http", 80, 8080), ServicePort("sql", 5432, 5432), ip="10.96.0.3"),
    )
}
OUTSIDE = "203.0.113.9"


def get(host: str, *headers: str, line: str = "GET / HTTP/1.1") -> str:
    return "\r\n".join([line, f"Host: {host}", "Connection: close", *headers, "", ""])


#: Of api: who may tunnel through it.
TUNNELS = replace(allow("tunnels", caller("web"), ports=(8080,)), requests=Requests((HttpMatch(("CONNECT",)),)))


@contextlib.contextmanager
def calling(net: Net, svids: Identities, *more: Any) -> Iterator[Path]:
    """The pod may call api and nobody else; all others answer. Yields the access log."""
    rules = (allow("db", caller("db")), *more)
    known = policies.world(
        policies.policy("api", applies_to=policies.AppliesTo(identities=("api",)), ingress=rules),
        policy("out", egress=(allow("api", caller("api")), allow("net", CidrPeer("198.51.100.0/24")))),
        pods=PODS,
        installation=replace(policies.INSTALLATION, proxies=True),
    )
    made = making.configured(making.mesh(known, SERVICES), "db", containers=PORTS)
    net.give("callers", [WEB, API, OUTSIDE])
    answering = {WEB: svids.files("shop", "web"), API: svids.files("shop", "api")}
    with net.pods(answering), proxy_net.running(net, made, svids.secrets("shop", "db")) as log:
        yield log


def sent(net: Net, *requests: tuple[str, int, str]) -> list[str]:
    command = net.command("pod", sys.executable, "-c", _REQUESTS, str(proxy_net.CALLER_UID), json.dumps(requests))
    found: list[str] = json.loads(proxy_net.run(*command))
    return found


TO_API = {
    "as it should be": get("api.shop.svc"),
    "another Host": get("web.shop.svc"),
    "another Host with port": get("web.shop.svc:80"),
    "an address as Host": get(f"{WEB}:8080"),
    "a whole URL": get("api.shop.svc", line="GET http://web.shop.svc/ HTTP/1.1"),
    "an original destination": get("api.shop.svc", f"x-envoy-original-dst-host: {WEB}:8080"),
    "a name of a cluster": get("api.shop.svc", "x-envoy-cluster: out|shop/web|80", "cluster: passthrough"),
    "forwarded": get(
        "api.shop.svc", "x-forwarded-host: web.shop.svc", f"x-forwarded-for: {WEB}", "forwarded: host=web"
    ),
    "retries": get("api.shop.svc", "x-envoy-retry-on: 5xx", "x-envoy-upstream-alt-stat-name: web"),
}


def test_a_request_goes_where_it_is_sent_whatever_it_says(net: Net, svids: Identities) -> None:
    with calling(net, svids) as log:
        said = sent(net, *(("10.96.0.2", 80, text) for text in TO_API.values()))
    assert [each.split(" ")[1] for each in said] == ["200"] * len(TO_API), dict(zip(TO_API, said, strict=True))
    peers = [line["upstreamPeer"] for line in lines(log) if line.get("method")]
    assert peers == ["spiffe://cluster.local/ns/shop/sa/api"] * len(TO_API)


def test_nothing_in_a_request_opens_another_place(net: Net, svids: Identities) -> None:
    hello = bytes.fromhex("160301").decode("latin-1")
    closed = {
        "the Service of web": ("10.96.0.3", 80, get("web.shop.svc")),
        "as api": ("10.96.0.3", 80, get("api.shop.svc")),
        "the pod of web": (WEB, 8080, get("api.shop.svc")),
        "its other port": (WEB, 5432, "hello"),
        "an address outside": (OUTSIDE, 443, hello + "api.shop.svc"),
        "an address outside, by HTTP": (OUTSIDE, 80, get("api.shop.svc")),
        "a tunnel": ("10.96.0.2", 80, get("web.shop.svc:80", line=f"CONNECT {WEB}:8080 HTTP/1.1")),
        "a tunnel to a cluster": ("10.96.0.2", 80, get("x", line="CONNECT out|shop/web|80 HTTP/1.1")),
    }
    with calling(net, svids):
        said = dict(zip(closed, sent(net, *closed.values()), strict=True))
    assert {name: each for name, each in said.items() if each and not each.startswith("HTTP/1.1 4")} == {}


#: Bytes that are sent behind a CONNECT, and all that comes back.
_TUNNEL = """
import encodings.idna, json, os, socket, sys
os.setuid(int(sys.argv[1]))
found = []
for address, port, text in json.loads(sys.argv[2]):
    with socket.create_connection((address, port), 10) as connection:
        connection.settimeout(10)
        connection.sendall(text.encode("latin-1") + b"ping")
        came = b""
        while not came.endswith(b"ping") and (data := connection.recv(4096)):
            came += data
        found.append(came.decode("latin-1"))
print(json.dumps(found))
"""


def test_a_tunnel_goes_to_the_program_that_is_called_and_no_proxy_opens_it(net: Net, svids: Identities) -> None:
    """Only where a rule of the one who is called names it; who may is judged there."""
    places = (f"{WEB}:8080", f"{OUTSIDE}:443", "web.shop.svc:80")
    asked = [("10.96.0.2", 80, f"CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n") for to in places]
    command = net.command("pod", sys.executable, "-c", _TUNNEL, str(proxy_net.CALLER_UID), json.dumps(asked))
    with calling(net, svids):
        said = json.loads(proxy_net.run(*command))
    assert all(each.startswith("HTTP/1.1 4") for each in said), said
    with calling(net, svids, TUNNELS) as log:
        said = json.loads(proxy_net.run(*command))
    for to, each in zip(places, said, strict=True):
        assert each.startswith("HTTP/1.1 200 ")
        assert each.endswith(f"\r\n\r\nmesh spiffe://cluster.local/ns/shop/sa/db to {to}: ping")
    told = [(line["host"], line["upstreamPeer"]) for line in lines(log) if line.get("method") == "CONNECT"]
    assert told == [(to, "spiffe://cluster.local/ns/shop/sa/api") for to in places]


# --- the door for probes


def test_the_door_for_probes_opens_to_what_the_kubelet_asks_alone(net: Net, svids: Identities) -> None:
    """Whoever reaches it passes by the rules of the program's port: it is where metrics are, for one."""
    asked = f"/ringfence/probe/http/{proxy_net.PROGRAM_PORT}/healthz?a=b"
    path, query = asked.split("?")
    # Else the proxy waits for another request on the same connection.
    last = "HTTP/1.1\r\nConnection: close"
    refused = (
        *(f"{method} {asked}" for method in ("POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "get", "X")),
        *(
            f"GET {path}{other}"
            for other in ("", "?", f"?{query}&c=d", f"?c=d&{query}", "?a=c", f"?{query}#x", "/", ";x")
        ),
        f"GET {path}/../admin?{query}",
        f"GET http://x{path}?{query}&c",
        f"GET {asked} {last}\r\nContent-Length: 3\r\n\r\nabc\r\n",
        f"GET {asked} {last}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    )
    made = config(policy(ingress=(allow("web", caller("web")),)), containers=probing(asked))
    with proxy_net.running(net, made, svids.secrets("shop", "db")):
        assert test_proxy_envoy.answer(net, 15021, f"GET {asked}")[0] == 200
        found = {each: test_proxy_envoy.answer(net, 15021, each)[0] for each in refused}
    assert {each: status for each, status in found.items() if status not in {400, 403, 404, 413}} == {}


def test_who_comes_by_the_door_for_probes_says_of_no_identity_that_it_is_its_own(net: Net, svids: Identities) -> None:
    """Programs of CGI and WSGI read every spelling of the header as what the proxy says of the caller."""
    asked = f"/ringfence/probe/http/{proxy_net.PROGRAM_PORT}/headers"
    names = ("x-forwarded-client-cert", "x_forwarded_client_cert", "X-Forwarded_Client-Cert", "x_forwarded_client-cert")
    said = "".join(f"\r\n{name}: URI=spiffe://cluster.local/ns/shop/sa/admin" for name in names)
    made = config(policy(ingress=(allow("web", caller("web")),)), containers=probing(asked))
    with proxy_net.running(net, made, svids.secrets("shop", "db")):
        status, body = test_proxy_envoy.answer(net, 15021, f"GET {asked} HTTP/1.1\r\nx-kept: yes{said}\r\nx-last:")
    assert status == 200
    assert "x-kept: yes" in body.lower()
    assert "admin" not in body
