"""etcd and kube-apiserver: their certificates, their arguments and the question whether they are ready.

Both flavours of the cluster start the same two programs with what this module says, so that what a component test has
seen holds on the whole node.
"""

import http.client
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster import certificates, versions
from e2e.cluster.certificates import Authority, KeyPair

KUBELET_CLIENT = "kube-apiserver-kubelet-client"


@dataclass(frozen=True, slots=True)
class Trust:
    """Everything that proves who is who in one cluster."""

    authority: Authority
    front_proxy: Authority
    etcd_authority: Authority
    """Its own, since etcd believes every certificate of its authority: a kubelet's must not open it."""
    apiserver: KeyPair
    etcd: KeyPair
    etcd_client: KeyPair
    kubelet_client: KeyPair
    """What the API server shows to kubelets; see manifests.py for what it may do there."""
    aggregator: KeyPair
    """What the API server shows to extension API servers."""
    admin: KeyPair
    service_accounts: KeyPair


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the two programs listen."""

    host: str
    """The address that clients of the API server use."""
    port: int
    etcd_port: int
    etcd_peer_port: int
    service_cidr: str
    """Of Services; two with a comma between them where there are both families."""
    service_address: str
    """The first address of the first: the `kubernetes` Service."""


def create_trust(directory: Path, endpoints: Endpoints) -> Trust:
    """Makes what is missing of a cluster's certificates."""
    authority = Authority(directory, "ca")
    authority.create()
    front_proxy = Authority(directory, "front-proxy-ca")
    front_proxy.create()
    etcd_authority = Authority(directory, "etcd-ca")
    etcd_authority.create()
    names = (
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "localhost",
    )
    addresses = sorted({endpoints.host, endpoints.service_address, "127.0.0.1"})
    hosts = [*(f"DNS:{name}" for name in names), *(f"IP:{address}" for address in addresses)]
    return Trust(
        authority=authority,
        front_proxy=front_proxy,
        etcd_authority=etcd_authority,
        apiserver=authority.issue("apiserver", user="kube-apiserver", hosts=hosts),
        etcd=etcd_authority.issue("etcd", user="etcd", hosts=["DNS:localhost", "IP:127.0.0.1"]),
        etcd_client=etcd_authority.issue("apiserver-etcd-client", user="kube-apiserver"),
        kubelet_client=authority.issue("apiserver-kubelet-client", user=KUBELET_CLIENT),
        aggregator=front_proxy.issue("front-proxy-client", user="front-proxy-client"),
        admin=authority.issue("admin", user="kubernetes-admin", groups=["system:masters"]),
        service_accounts=certificates.signing_key(directory, "service-accounts"),
    )


def etcd_arguments(program: Path, data: Path, trust: Trust, endpoints: Endpoints) -> list[str]:
    """etcd for tests: mutual TLS as in production, but nothing waits for the disk."""
    client = f"https://127.0.0.1:{endpoints.etcd_port}"
    peer = f"http://127.0.0.1:{endpoints.etcd_peer_port}"
    return [
        str(program),
        "--name=single",
        f"--data-dir={data}",
        "--unsafe-no-fsync",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=single={peer}",
        f"--cert-file={trust.etcd.certificate}",
        f"--key-file={trust.etcd.key}",
        f"--trusted-ca-file={trust.etcd_authority.pair.certificate}",
        "--client-cert-auth",
        "--log-level=warn",
        "--snapshot-count=10000",
    ]


def apiserver_arguments(
    program: Path, trust: Trust, endpoints: Endpoints, bind: str, extra: Sequence[str]
) -> list[str]:
    """kube-apiserver with its defaults, the features that this project builds on, and `extra` last, so that it wins."""
    ca = trust.authority.pair.certificate
    return [
        str(program),
        f"--bind-address={bind}",
        f"--advertise-address={endpoints.host}",
        f"--secure-port={endpoints.port}",
        f"--service-cluster-ip-range={endpoints.service_cidr}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged",
        *versions.API_FEATURES,
        f"--client-ca-file={ca}",
        f"--tls-cert-file={trust.apiserver.certificate}",
        f"--tls-private-key-file={trust.apiserver.key}",
        f"--etcd-servers=https://127.0.0.1:{endpoints.etcd_port}",
        f"--etcd-cafile={trust.etcd_authority.pair.certificate}",
        f"--etcd-certfile={trust.etcd_client.certificate}",
        f"--etcd-keyfile={trust.etcd_client.key}",
        f"--kubelet-certificate-authority={ca}",
        f"--kubelet-client-certificate={trust.kubelet_client.certificate}",
        f"--kubelet-client-key={trust.kubelet_client.key}",
        # The nodes' names do not resolve anywhere.
        "--kubelet-preferred-address-types=InternalIP",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={trust.service_accounts.certificate}",
        f"--service-account-signing-key-file={trust.service_accounts.key}",
        f"--requestheader-client-ca-file={trust.front_proxy.pair.certificate}",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={trust.aggregator.certificate}",
        f"--proxy-client-key-file={trust.aggregator.key}",
        *extra,
    ]


def is_ready(trust: Trust, endpoints: Endpoints) -> bool:
    """Whether the API server says so itself (/readyz)."""
    context = ssl.create_default_context(cafile=str(trust.authority.pair.certificate))
    context.load_cert_chain(trust.admin.certificate, trust.admin.key)
    connection = http.client.HTTPSConnection(endpoints.host, endpoints.port, timeout=5, context=context)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
