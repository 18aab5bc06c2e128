"""The configuration files of what runs on a node, as values: what they say depends on the layout alone."""

import json
from typing import Any

from e2e.cluster import versions
from e2e.cluster.layout import Layout, Node

CNI_PLUGINS = "/usr/lib/cni"
CONTAINERD_SOCKET = "/run/containerd/containerd.sock"


def containerd(layout: Layout, node: Node) -> str:
    """containerd's config.toml (version 2, as containerd 1.6 and later read it)."""
    files = node.directory / "etc"
    return f"""version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{layout.registry}/pause:dev"
  # Where the machine lacks CAP_SYS_RESOURCE, runc cannot lower a score and fails with an unrelated message.
  restrict_oom_score_adj = true
  disable_apparmor = true
  # As containerd 2 and Docker do: every port and ping are open to any user inside a pod.
  enable_unprivileged_ports = true
  enable_unprivileged_icmp = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI_PLUGINS}"
    conf_dir = "{files}/cni"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{files}/certs.d"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"""


def registry_hosts(layout: Layout) -> str:
    """certs.d/<registry>/hosts.toml: what is called localhost on the machine is the machine, for a node."""
    url = f"http://{layout.registry_inside}"
    return f'server = "{url}"\n[host."{url}"]\n  capabilities = ["pull", "resolve"]\n'


def cni(node: Node) -> str:
    """A cable of its own for each pod, so that all its traffic passes the node's own nftables."""
    everywhere = ("0.0.0.0/0", "::/0")[: len(node.pod_cidrs)]
    plugins = [
        {
            "type": "ptp",
            "mtu": 1500,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": each}] for each in node.pod_cidrs],
                "routes": [{"dst": each} for each in everywhere],
            },
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ]
    return json.dumps({"cniVersion": "0.4.0", "name": "pods", "plugins": plugins}, indent=2)


def kubelet(layout: Layout, node: Node) -> dict[str, Any]:
    """KubeletConfiguration."""
    files = node.directory / "etc"
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{files}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{files}/kubelet.crt",
        "tlsPrivateKeyFile": f"{files}/kubelet.key",
        # Where `up` can ask; the default is the node's own loopback.
        "healthzBindAddress": node.address,
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "clusterDNS": [layout.dns_address],
        "clusterDomain": "cluster.local",
        "resolvConf": f"{files}/resolv.conf",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{node.cgroup}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "featureGates": dict(versions.NODE_FEATURES),
        "maxPods": 250,
        "serializeImagePulls": False,
        "registryPullQPS": 0,
        "eventRecordQPS": 0,
        "syncFrequency": versions.KUBELET_SYNC_FREQUENCY,
        # The machine's disk is not the cluster's business: a full one must not evict the pods of a test.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%"},
    }


def kube_proxy(layout: Layout, node: Node) -> dict[str, Any]:
    """KubeProxyConfiguration. The zeros leave the machine's connection tracking as it is."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clusterCIDR": ",".join(layout.pod_cidrs),
        "hostnameOverride": node.name,
        "clientConnection": {"kubeconfig": f"{node.directory}/etc/kube-proxy.kubeconfig"},
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
    }
