"""What callers write into requests, on their way into a real proxy's log: one line each, and no words but its own."""

import json
from collections.abc import Iterator

import pytest
from ringfence.flows import reading

from tests.component import request_rig, wire_rig
from tests.component.request_rig import HTTP_PORT
from tests.component.test_attacks_requests import on, paths
from tests.component.wire_rig import Rig, http2, pseudo
from tests.unit.policy.making import allow, caller, policy

pytestmark = pytest.mark.component

RULE = on(allow("public", caller("web"), ports=(HTTP_PORT,)), paths("/public/*"))
#: What would end a value, a line or a record, were it written as it comes; and what is no text at all.
HOSTILE = (
    '"}',
    '","code":200,"x":"',
    "\\",
    '\\"',
    "\\u0000",
    "%REQ(host)%",
    "%s%n",
    "${jndi:ldap://x}",
    "<script>",
    "\x1b[2J",
    "\u2028",
    "\u2029",
    "\x85",
    "\u202e",
    "\ufeff",
    "\xff",
    "\xed\xa0\x80",
    "{}",
    "[x]",
    "'",
    "`",
    "\t",
    "\x7f",
    "a" * 20_000,
)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with wire_rig.network(tmp_path_factory.mktemp("wire")) as made:
        yield made


def latin(text: str) -> str:
    """The bytes of a text in UTF-8, or of one that is bytes already."""
    return text if max(map(ord, text)) < 256 else text.encode().decode("latin-1")


def tried() -> list[bytes]:
    found = []
    for each in map(latin, HOSTILE):
        for path in ("/public/", "/admin/"):
            rest = f"User-Agent: {each}\r\nConnection: close\r\n\r\n"
            hosts = ("pay.shop", f"pay.shop{each[:99]}")
            lines = (f"GET {path}{each} HTTP/1.1\r\nHost: {host}\r\n{rest}" for host in hosts)
            found += [line.encode("latin-1") for line in lines]
            found.append(http2(*pseudo(path + each), ("user-agent", each)))
            found.append(http2(*pseudo(path, authority=f"pay.shop{each[:99]}")))
            found.append(http2(*pseudo(path), ("x-request-id", each), ("referer", each)))
    return found


def test_whatever_a_request_holds_is_a_value_of_one_line(rig: Rig) -> None:
    with rig.running(request_rig.config(request_rig.mesh(policy(ingress=(RULE,))))) as log:
        rig.send(*tried())
        assert rig.alive
    data = log.read_bytes()
    lines = [each for each in data.split(b"\n") if each]
    # Envoy's own messages aside, of which there are none.
    records = [json.loads(each.decode("utf-8", "strict")) for each in lines]
    assert len(records) > len(HOSTILE) * 6
    assert {each["direction"] for each in records} == {"inbound"}
    fields = {name for each in records for name in each}
    assert "x" not in fields
    assert {each["code"] for each in records} <= {0, 200, 400, 403}
    assert all(each["path"].startswith("/public/") for each in records if each["code"] == 200)
    tally = reading.Tally()
    with log.open("rb") as stream:
        flows = list(reading.read(stream, "log", tally))
    assert (tally.bad, len(flows)) == (0, len(records))


def test_a_path_that_the_caller_says_is_not_the_one_that_is_written_down(rig: Rig) -> None:
    said = "x-envoy-original-path: /public/innocent\r\nx-original-url: /public/innocent\r\nx-envoy-original-host: x"
    text = f"GET /admin/guilty HTTP/1.1\r\nHost: pay.shop\r\n{said}\r\nConnection: close\r\n\r\n"
    with rig.running(request_rig.config(request_rig.mesh(policy(ingress=(RULE,))))) as log:
        rig.send(text.encode())
    (line,) = [json.loads(each) for each in log.read_text().splitlines() if each.startswith("{")]
    assert (line["path"], line["host"], line["code"]) == ("/admin/guilty", "pay.shop", 403)
