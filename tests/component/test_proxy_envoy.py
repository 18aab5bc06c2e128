"""A real Envoy with a compiled configuration: probes, logs, Audit, and what a new policy does to open connections."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ringfence.model.mesh import ServicePort
from ringfence.model.proxy import ProxyConfig
from ringfence.model.resources import MTLS, AnonymousPeer, CidrPeer, Mode, PortSpec, SecurityPolicy, Transport

from tests.component import proxy_net
from tests.component.node_rig import eventually
from tests.component.proxy_net import API, POD, WEB, Identities, Net
from tests.unit.policy import making as policies
from tests.unit.policy.making import allow, caller, deny, policy
from tests.unit.translate.envoy import making

pytestmark = pytest.mark.component

PODS = (policies.pod("db", ip=POD), policies.pod("web", ip=WEB), policies.pod("api", ip=API))
HTTP = {"shop": (making.service("db", ServicePort("http", 80, 8080)),)}
PORTS = [{"name": "c", "ports": [{"containerPort": 8080}, {"containerPort": 5432}]}]


def config(*written: SecurityPolicy, **spec: Any) -> ProxyConfig:
    known = making.mesh(policies.world(*written, pods=PODS), HTTP)
    return making.configured(known, "db", **{"containers": PORTS, **spec})


def call(
    source: str, port: int, identity: tuple[str, str, str] | tuple[()] = (), *, http: bool = False
) -> dict[str, Any]:
    return {"source": source, "target": POD, "port": port, "identity": identity, "http": http, "first": not http}


def lines(log: Path) -> list[dict[str, Any]]:
    """The access log, once Envoy has ended."""
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]


def answer(net: Net, port: int, request: str) -> tuple[int, str]:
    """What a plain HTTP request from outside gets: status and body. It is read no further than its length says: the
    proxy leaves connections open for a second after the last word.
    """
    code = (
        "import socket,sys\n"
        f"c=socket.create_connection(('{POD}',{port}),10,('{WEB}',0))\n"
        "c.sendall(sys.argv[1].encode()+b' HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n')\n"
        "d=b''\n"
        "def whole():\n"
        "  h,_,b=d.partition(b'\\r\\n\\r\\n')\n"
        "  n=[int(l[15:]) for l in h.lower().split(b'\\r\\n') if l.startswith(b'content-length:')]\n"
        "  return n and len(b)>=n[0]\n"
        "while not whole() and (x:=c.recv(65536)): d+=x\n"
        "sys.stdout.buffer.write(d)\n"
    )
    found = proxy_net.run(*net.command("callers", sys.executable, "-c", code, request))
    return int(found.split(" ", 2)[1]), found.partition("\n\n")[2]


def probing(*paths: str) -> list[dict[str, Any]]:
    return [
        {"name": f"c{n}", "readinessProbe": {"httpGet": {"port": 15021, "path": path}}} for n, path in enumerate(paths)
    ]


def test_the_status_listener_answers_for_the_program(net: Net, svids: Identities) -> None:
    here, nowhere = proxy_net.PROGRAM_PORT, 4321
    paths = (
        f"/ringfence/probe/http/{here}/healthz?a=b",
        f"/ringfence/probe/http/{nowhere}/healthz",
        f"/ringfence/probe/tcp/{here}",
        f"/ringfence/probe/tcp/{nowhere}",
        f"/ringfence/probe/grpc/{here}/my.Service",
    )
    made = config(policy(ingress=(allow("web", caller("web")),)), containers=probing(*paths))
    with proxy_net.running(net, made, svids.secrets("shop", "db")):
        # Not before the first look at ports.
        eventually(lambda: answer(net, 15021, f"GET {paths[2]}")[0] == 200)
        assert answer(net, 15021, "GET /ready")[0] == 200
        status, body = answer(net, 15021, "GET /metrics")
        assert status == 200
        assert "envoy_server_live" in body
        assert answer(net, 15021, f"GET {paths[0]}")[0] == 200
        assert answer(net, 15021, f"GET /ringfence/probe/http/{here}/other")[0] == 404
        assert answer(net, 15021, f"GET {paths[3]}")[0] == 503  # no program is there
        assert answer(net, 15021, f"GET {paths[4]}")[0] == 503  # it speaks, but not gRPC
        for refused in (
            "POST /ready",
            "GET /quitquitquit",
            "POST /quitquitquit",
            "GET /config_dump",
            "GET /ready/../help",
        ):
            assert answer(net, 15021, refused)[0] == 404, refused


def test_logs_name_the_rule_and_callers_are_not_told(net: Net, svids: Identities) -> None:
    made = config(
        policy(
            ingress=(
                allow("web", caller("web")),
                allow("all", AnonymousPeer(), ports=(PortSpec(5432),)),
                deny("api", caller("api")),
                deny("net", CidrPeer("10.244.0.2/32"), ports=(PortSpec(5432),)),
            )
        )
    )
    web, api = svids.files("shop", "web"), svids.files("shop", "api")
    with proxy_net.running(net, made, svids.secrets("shop", "db")) as log:
        wanted = [
            call(WEB, 8080, web, http=True),
            call(API, 8080, api, http=True),
            call(API, 5432),
            call(API, 5432, api),
        ]
        assert net.call(wanted) == ["allowed", "denied", "allowed", "denied"]
    found = lines(log)
    http = {line["peer"].rpartition("/")[2]: line for line in found if line.get("method")}
    assert http["web"]["policy"]["allow.enforced_effective_policy_id"] == "shop/p#web"
    assert http["api"]["details"] == "rbac_access_denied_matched_policy[shop/p#api]"
    (plain,) = (line for line in found if line.get("rule"))
    assert (plain["answer"], plain["rule"]) == ("allowed", "shop/p#all")
    assert any("CERTIFICATE_VERIFY_FAILED" in line.get("failure", "") for line in found)


SELF = {"shop": (making.service("db", ServicePort("http", 80, 8080), ServicePort("sql", 5432, 5432)),)}


def calling_itself(net: Net, svids: Identities, *written: SecurityPolicy) -> tuple[list[str], list[dict[str, Any]]]:
    """What a pod gets from its own Service, in HTTP and from a program that speaks first; and the log."""
    known = making.mesh(policies.world(*written, pods=PODS), SELF)
    made = making.configured(known, "db", containers=PORTS)
    wanted = [
        {**call("", port), "target": "10.96.0.1", "http": http, "first": False}
        for port, http in ((80, True), (5432, False))
    ]
    with proxy_net.running(net, made, svids.secrets("shop", "db")) as log:
        answers = net.call(wanted, "pod")
    return answers, lines(log)


def test_a_pod_that_calls_its_own_service_goes_through_both_of_its_sides(net: Net, svids: Identities) -> None:
    answers, found = calling_itself(net, svids, policy(ingress=(allow("self", caller("db")),)))
    assert answers == ["allowed", "allowed"]
    inbound = next(line for line in found if line["direction"] == "inbound" and line.get("method"))
    assert inbound["peer"] == "spiffe://cluster.local/ns/shop/sa/db"
    assert inbound["tls"] == "TLSv1.3"
    outbound = next(line for line in found if line["direction"] == "outbound" and line.get("method"))
    assert outbound["upstreamPeer"] == "spiffe://cluster.local/ns/shop/sa/db"


def test_a_pod_may_not_call_itself_without_a_rule(net: Net, svids: Identities) -> None:
    answers, _ = calling_itself(net, svids, policy(ingress=(allow("web", caller("web")),)))
    assert answers == ["denied", "denied"]


def test_the_proxys_own_ports_lead_nowhere_whatever_is_open(net: Net, svids: Identities) -> None:
    """Were they passed on, the proxy would call itself for ever."""
    made = config(policy(ingress=(allow("all", AnonymousPeer()),)))
    web = svids.files("shop", "web")
    with proxy_net.running(net, made, svids.secrets("shop", "db")):
        own = [call(WEB, port, identity) for port in (15001, 15006, 15020) for identity in (web, ())]
        assert net.call([*own, call(WEB, 5432)]) == ["denied"] * len(own) + ["allowed"]


def test_strangers_are_refused_and_the_forger_of_the_offer_too(net: Net, svids: Identities, tmp_path: Path) -> None:
    """Everybody may call, if only by identity: certificates of another CA for the same names, and TLS without one."""
    made = config(policy(ingress=(allow("all"),)))
    foreign = Identities(tmp_path, "cluster.local").files("shop", "web")
    good = svids.files("shop", "web")
    forged = (foreign[0], foreign[1], good[2])
    with proxy_net.running(net, made, svids.secrets("shop", "db")) as log:
        wanted = [
            call(WEB, port, identity, http=port == 8080) for port in (8080, 5432) for identity in (good, forged, ())
        ]
        assert net.call(wanted) == ["allowed", "denied", "denied"] * 2
    assert any("CERTIFICATE_VERIFY_FAILED" in line.get("failure", "") for line in lines(log))


def test_a_connection_without_certificate_or_below_tls_1_3_ends(net: Net, svids: Identities) -> None:
    made = config(policy(ingress=(allow("all"),)))
    with proxy_net.running(net, made, svids.secrets("shop", "db")):
        roots = svids.files("shop", "web")
        for newest, pair in (("TLSv1_3", ()), ("TLSv1_2", roots[:2])):
            command = net.command("callers", sys.executable, "-c", _ODD_TLS, newest, roots[2], POD, WEB, *pair)
            assert proxy_net.run(*command) == "refused\n", newest
        command = net.command("callers", sys.executable, "-c", _ODD_TLS, "TLSv1_3", roots[2], POD, WEB, *roots[:2])
        assert proxy_net.run(*command) == "answered\n"


_ODD_TLS = """
import socket, ssl, sys
newest, roots, pod, source, *pair = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.load_verify_locations(roots)
context.maximum_version = ssl.TLSVersion[newest]
if pair:
    context.load_cert_chain(*pair)
context.set_alpn_protocols(["ringfence"])
try:
    with context.wrap_socket(socket.create_connection((pod, 5432), 10, (source, 0))) as connection:
        print("answered" if connection.recv(9) else "refused")
except (ssl.SSLError, ConnectionError):
    print("refused")
"""
_HTTP2 = """
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
chain, key, roots, pod, source = sys.argv[1:]
context.load_verify_locations(roots)
context.load_cert_chain(chain, key)
context.set_alpn_protocols(["ringfence"])
plain = socket.create_connection((pod, 8080), 10, (source, 0))
with context.wrap_socket(plain) as connection:
    connection.sendall(b"PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)))
    print(connection.version(), connection.selected_alpn_protocol(), connection.recv(9)[3])
"""


def test_http2_is_told_by_its_bytes_since_the_mesh_offers_one_protocol(net: Net, svids: Identities) -> None:
    made = config(policy(ingress=(allow("web", caller("web")),)))
    with proxy_net.running(net, made, svids.secrets("shop", "db")):
        command = net.command("callers", sys.executable, "-c", _HTTP2, *svids.files("shop", "web"), POD, WEB)
        # A frame of type 4: SETTINGS (RFC 9113 §6.5).
        assert proxy_net.run(*command) == "TLSv1.3 None 4\n"


_TRAILERS = """
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
chain, key, roots, pod, source = sys.argv[1:]
context.load_verify_locations(roots)
context.load_cert_chain(chain, key)
context.set_alpn_protocols(["ringfence"])
head = b"POST / HTTP/1.1\\r\\nHost: x\\r\\nTransfer-Encoding: chunked\\r\\nTrailer: x-sum\\r\\nTE: trailers\\r\\n\\r\\n"
with context.wrap_socket(socket.create_connection((pod, 8080), 10, (source, 0))) as connection:
    connection.sendall(head + b"5\\r\\nhello\\r\\n0\\r\\nx-sum: asked\\r\\n\\r\\n")
    stream = connection.makefile("rb")
    data = b""
    while b"x-end" not in data.rpartition(b"\\r\\n0\\r\\n")[2] and (more := stream.read1()):
        data += more
print("x-sum: asked" in data.decode(), data.decode().rpartition("\\r\\n0\\r\\n")[2].strip())
"""


def test_trailers_of_http1_reach_the_program_and_its_caller(net: Net, svids: Identities) -> None:
    made = config(policy(ingress=(allow("web", caller("web")),)))
    with proxy_net.running(net, made, svids.secrets("shop", "db")):
        command = net.command("callers", sys.executable, "-c", _TRAILERS, *svids.files("shop", "web"), POD, WEB)
        assert proxy_net.run(*command) == "True x-end: answered\n"


def test_what_audit_would_deny_is_in_the_log_and_passes(net: Net, svids: Identities) -> None:
    enforced = policy("p", ingress=(allow("all", AnonymousPeer()),))
    audit = policy("q", mode=Mode.AUDIT, ingress=(deny("web", caller("web")), deny("nobody", AnonymousPeer())))
    web = svids.files("shop", "web")
    with proxy_net.running(net, config(enforced, audit), svids.secrets("shop", "db")) as log:
        wanted = [call(WEB, 8080, web, http=True), call(WEB, 5432, web), call(WEB, 5432)]
        assert net.call(wanted) == ["allowed"] * 3
    found = lines(log)
    (request,) = (line for line in found if line.get("method"))
    assert request["policy"]["audit_deny.shadow_engine_result"] == "denied"
    assert request["policy"]["audit_deny.shadow_effective_policy_id"] == "shop/q#web"
    (plain,) = (line for line in found if "audit" in line)
    assert (plain["answer"], plain["audit"], plain["auditRule"]) == ("allowed", "denied", "shop/q#nobody")


def test_a_tightened_port_ends_its_connections_and_no_others(net: Net, svids: Identities) -> None:
    permissive = policy("t")
    permissive = replace(permissive, spec=replace(permissive.spec, transport=Transport(MTLS.PERMISSIVE)))
    before = config(permissive, policy(ingress=(allow("web", caller("web"), ports=(PortSpec(5432), PortSpec(5433))),)))
    after = config(permissive, policy(ingress=(allow("web", caller("web"), ports=(PortSpec(5433),)),)))
    lds = net.directory / "lds.json"
    with dynamic(net, before, svids, lds), held(net, (5432, 5433)) as connections:
        assert [state(each) for each in connections] == ["open", "open"]
        proxy_net.write_listeners(lds, after, svids.secrets("shop", "db"))
        deadline = time.monotonic() + 20
        while state(connections[0]) == "open" and time.monotonic() < deadline:
            time.sleep(0.2)
        assert [state(each) for each in connections] == ["ended", "open"]


def dynamic(net: Net, made: ProxyConfig, svids: Identities, lds: Path) -> Any:
    """Envoy whose listeners come from a file."""
    secrets = svids.secrets("shop", "db")
    proxy_net.write_listeners(lds, made, secrets)
    node = {"id": "test", "cluster": "test"}
    return proxy_net.running(
        net, replace(made, listeners=()), secrets, dynamic_resources=proxy_net.listeners_from(lds), node=node
    )


class held:  # noqa: N801 (used as a function)
    """Connections from WEB to these ports, open."""

    def __init__(self, net: Net, ports: tuple[int, ...]) -> None:
        code = (
            "import socket,sys\n"
            f"c=[socket.create_connection(('{POD}',p),10,('{WEB}',0)) for p in {ports!r}]\n"
            "[x.sendall(b'hello') for x in c]\n"
            "[x.recv(100) for x in c]\n"
            "for line in sys.stdin:\n"
            "    x=c[int(line)]; x.setblocking(False)\n"
            "    try: said='ended' if x.recv(100)==b'' else 'open'\n"
            "    except BlockingIOError: said='open'\n"
            "    except OSError: said='ended'\n"
            "    print(said,flush=True)\n"
        )
        self._command = net.command("callers", sys.executable, "-c", code)
        self._count = len(ports)

    def __enter__(self) -> list[tuple["subprocess.Popen[str]", int]]:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return [(self._process, n) for n in range(self._count)]

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


def state(connection: tuple["subprocess.Popen[str]", int]) -> str:
    process, number = connection
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{number}\n")
    process.stdin.flush()
    return process.stdout.readline().strip()
