"""Records of each format, and short ways to read them."""

import io
import json
from typing import Any

from ringfence.flows import reading
from ringfence.flows.flow import Flow, Party
from ringfence.flows.reading import Tally

AT = 1800000000.0  # 2027-01-15T08:00:00Z
OWN: dict[str, Any] = {"time": "2027-01-15T08:00:00Z", "source": "shop/web", "target": "shop/api", "port": 8080}
INBOUND: dict[str, Any] = {
    "direction": "inbound",
    "time": "2027-01-15T08:00:00.250Z",
    "source": "10.244.0.2:40000",
    "destination": "10.244.0.1:8080",
    "peer": "spiffe://cluster.local/ns/shop/sa/web",
    "tls": "TLSv1.3",
    "duration": 3,
}
OUTBOUND: dict[str, Any] = {
    "direction": "outbound",
    "time": "2027-01-15T08:00:00.250Z",
    "source": "10.244.0.2:40000",
    "destination": "10.96.0.7:80",
    "upstream": "10.244.0.1:8080",
    "upstreamPeer": "spiffe://cluster.local/ns/shop/sa/api",
}
HUBBLE: dict[str, Any] = {
    "flow": {
        "time": "2027-01-15T08:00:00.123456789Z",
        "verdict": "FORWARDED",
        "IP": {"source": "10.244.0.2", "destination": "10.244.0.1", "ipVersion": "IPv4"},
        "l4": {"TCP": {"source_port": 40000, "destination_port": 8080, "flags": {"SYN": True}}},
        "source": {
            "ID": 1,
            "identity": 4711,
            "namespace": "shop",
            "labels": ["k8s:app=web", "k8s:io.cilium.k8s.policy.serviceaccount=web"],
            "pod_name": "web-7d9c5f6b8-x2x4v",
        },
        "destination": {"ID": 2, "namespace": "shop", "pod_name": "api-0"},
        "Type": "L3_L4",
        "node_name": "node-1",
        "is_reply": False,
        "traffic_direction": "INGRESS",
    },
    "node_name": "node-1",
}


def read(*lines: object, owner: Party | None = None) -> tuple[list[Flow], Tally]:
    text = "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines)
    tally = Tally()
    return list(reading.read(io.BytesIO(text.encode("utf-8", "surrogateescape")), "log", tally, owner)), tally


def one(line: object, owner: Party | None = None) -> Flow:
    flows, tally = read(line, owner=owner)
    assert not tally.complaints, tally.complaints
    return flows[0]


def refused(line: object) -> str:
    flows, tally = read(line)
    assert not flows
    assert tally.bad == 1
    assert tally.complaints[0][0] == "log:1"
    return tally.complaints[0][1]


def hubble(**change: object) -> dict[str, Any]:
    """The record of Hubble with other fields in its flow."""
    return {**HUBBLE, "flow": {**HUBBLE["flow"], **change}}
