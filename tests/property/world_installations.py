"""Installations of random worlds: what the platform has said of its networks."""

from dataclasses import replace
from functools import cache

from hypothesis import strategies as st
from ringfence.model.resources import (
    Protocol,
)
from ringfence.model.world import Installation, OpenService

NODE = "192.168.1.10"
API_SERVER = "192.168.1.1"
POD_CIDRS = ("10.244.0.0/16",)


@cache
def installations() -> st.SearchStrategy[Installation]:
    """Mostly the usual one; sometimes pods' ranges are not known or are named by cidr."""
    usual = Installation(
        pod_cidrs=POD_CIDRS,
        api_server=((API_SERVER, 80),),
        open_services=(
            OpenService(
                "dns", "kube-system", {"k8s-app": "kube-dns"}, ((Protocol.TCP, 53), (Protocol.UDP, 53)), (f"{NODE}/32",)
            ),
            OpenService("hub", "bank", {"app": "blue"}, ((Protocol.TCP, 9090),)),
        ),
    )
    others = (usual, usual, replace(usual, cidr_covers_pods=True), replace(usual, pod_cidrs=()))
    return st.sampled_from((usual, *others))
