"""Attacks on admission, tried against a real API server with the webhook and the backstop in place.

Each has happened to somebody. The outcome is a refusal that names the reason, or provably nothing.
"""

import re
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from tests.component import webhook_rig
from tests.component.requests_as import Reply
from tests.component.webhook_rig import IDENTITY, Rig, container, floor, pod, until

pytestmark = pytest.mark.component

TENANT = "tenant"
STRATEGIC = "application/strategic-merge-patch+json"


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with webhook_rig.rig("attacks", tmp_path_factory.mktemp("attacks")) as made:
        made.enforced("shop", "default", "payments")
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "payments", "namespace": "shop"}}
        assert made.api.create(account).ok
        assert made.api.create(floor("floor", "restricted")).ok
        until(lambda: not made.api.create(pod("p", "shop", hostPID=True), dry_run=True).ok, 10)
        everything = ["create", "update", "patch", "delete", "get", "list"]
        made.grant(TENANT, [("", ["pods", "pods/*", "serviceaccounts"], everything), ("", ["namespaces"], everything)])
        yield made


def tried(rig: Rig, **spec: Any) -> Reply:
    return rig.api.create(pod("attack", "shop", **spec), dry_run=True)


def on_container(**context: Any) -> dict[str, Any]:
    return {"containers": [container("main", context=context)]}


def on_pod(**context: Any) -> dict[str, Any]:
    return {"securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}, **context}}


PRIVILEGED = {"privileged": True, "allowPrivilegeEscalation": True}
PODS: dict[str, tuple[dict[str, Any], str]] = {
    "privileged": (on_container(**PRIVILEGED), "privileged"),
    "privileged init": ({"initContainers": [container("init", context=PRIVILEGED)]}, "privileged"),
    "privileged sidecar": (
        {"initContainers": [container("side", restartPolicy="Always", context=PRIVILEGED)]},
        "privileged",
    ),
    "no securityContext": ({"containers": [{"name": "main", "image": "x"}]}, "privilege-escalation"),
    "empty securityContext": (
        {"containers": [{"name": "main", "image": "x", "securityContext": {}}]},
        "capabilities-restricted",
    ),
    "no securityContext on a second container": (
        {"containers": [container("main"), {"name": "other", "image": "x"}]},
        "capabilities-restricted",
    ),
    "pod non-root, container root": (on_container(runAsNonRoot=False), "run-as-non-root"),
    "pod root, container non-root": (on_pod(runAsNonRoot=False) | on_container(runAsNonRoot=True), "run-as-non-root"),
    "lower-case capability": (on_container(capabilities={"drop": ["ALL"], "add": ["net_admin"]}), "capabilities"),
    "lower-case drop": (on_container(capabilities={"drop": ["all"]}), "capabilities"),
    "drop without ALL": (on_container(capabilities={"drop": ["NET_RAW"]}), "capabilities"),
    "user 0": (on_container(runAsUser=0), "run-as-user"),
    "user 0 of the pod": (on_pod(runAsUser=0), "run-as-user"),
    "host process on Linux": (
        on_pod(windowsOptions={"hostProcess": True}) | {"hostNetwork": True},
        "host-process",
    ),
    "unmasked proc": ({"hostUsers": False, **on_container(procMount="Unmasked")}, "proc-mount"),
    "probe of the metadata service": (
        {"containers": [container("main", livenessProbe={"httpGet": {"port": 80, "host": "169.254.169.254"}})]},
        "host-probes",
    ),
    "hook to somebody else": (
        {"containers": [container("main", lifecycle={"preStop": {"httpGet": {"port": 80, "host": "10.0.0.1"}}})]},
        "host-probes",
    ),
    "unsafe sysctl": (on_pod(sysctls=[{"name": "kernel.msgmax", "value": "1"}]), "sysctls"),
    "seccomp off": (on_pod(seccompProfile={"type": "Unconfined"}), "seccomp"),
    "seccomp off on the container": (on_container(seccompProfile={"type": "Unconfined"}), "seccomp"),
    "AppArmor off": (on_container(appArmorProfile={"type": "Unconfined"}), "apparmor"),
    "SELinux type of the host": (on_container(seLinuxOptions={"type": "spc_t"}), "selinux"),
    "host path": ({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, "volume-types"),
    "NFS": ({"volumes": [{"name": "v", "nfs": {"server": "x", "path": "/"}}]}, "volume-types"),
    "host port": (
        {"containers": [container("main", ports=[{"containerPort": 1, "hostPort": 1}])]},
        "host-ports",
    ),
    "host network": ({"hostNetwork": True}, "host-namespaces"),
}


class TestContainers:
    @pytest.mark.parametrize("name", PODS)
    def test_it_is_refused_for_its_reason(self, rig: Rig, name: str) -> None:
        spec, control = PODS[name]
        reply = tried(rig, **spec)
        assert reply.status == 403
        assert f"[{control}" in reply.message
        assert "asked by ClusterSecurityPolicy floor" in reply.message

    def test_apparmor_by_the_annotation_of_old(self, rig: Rig) -> None:
        bad = pod("attack", "shop")
        bad["metadata"]["annotations"] = {"container.apparmor.security.beta.kubernetes.io/main": "unconfined"}
        assert "[apparmor" in rig.api.create(bad, dry_run=True).message

    @pytest.mark.parametrize("media", ["application/merge-patch+json", STRATEGIC])
    def test_an_ephemeral_container(self, rig: Rig, media: str) -> None:
        name = f"target-{secrets.token_hex(4)}"
        assert rig.api.create(pod(name, "shop")).ok
        body = {"spec": {"ephemeralContainers": [{"name": "debug", "image": "x", "securityContext": PRIVILEGED}]}}
        reply = rig.api.request("PATCH", f"/api/v1/namespaces/shop/pods/{name}/ephemeralcontainers", body, media=media)
        assert "spec.ephemeralContainers[0].securityContext.privileged" in reply.message

    def test_while_the_pod_ends(self, rig: Rig) -> None:
        ending = pod("ending", "shop")
        ending["metadata"]["finalizers"] = ["example.com/hold"]
        assert rig.api.create(ending).ok
        where = "/api/v1/namespaces/shop/pods/ending"
        assert rig.api.request("DELETE", f"{where}?gracePeriodSeconds=0").ok
        body = {"spec": {"ephemeralContainers": [{"name": "debug", "image": "x", "securityContext": PRIVILEGED}]}}
        assert not rig.api.request("PATCH", f"{where}/ephemeralcontainers", body, media=STRATEGIC).ok
        assert not rig.api.merge(where, {"metadata": {"labels": {IDENTITY: "payments"}}}).ok
        assert rig.api.merge(where, {"metadata": {"finalizers": None}}).ok

    def test_a_resize_is_judged_and_a_good_one_passes(self, rig: Rig) -> None:
        resources = {"requests": {"cpu": "1"}, "limits": {"cpu": "4"}}
        assert rig.api.create(pod("resized", "shop", containers=[container("main", resources=resources)])).ok
        where = "/api/v1/namespaces/shop/pods/resized/resize"
        body = {"spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": "2"}}}]}}
        before = _count(rig)
        reply = rig.api.request("PATCH", where, body, media=STRATEGIC)
        assert reply.ok, reply.message
        assert _count(rig) > before


class TestClosed:
    """A namespace that asks for no level is closed all the same."""

    @pytest.fixture(scope="class")
    @classmethod
    def bare(cls, rig: Rig) -> Iterator[Rig]:
        """No floor asks for anything."""
        path = "/apis/ringfence.dev/v1alpha1/clustersecuritypolicies/floor"
        assert rig.api.request("DELETE", path).ok
        until(lambda: tried(rig, volumes=[{"name": "v", "nfs": {"server": "s", "path": "/"}}]).ok, 10)
        yield rig
        assert rig.api.create(floor("floor", "restricted")).ok
        until(lambda: not tried(rig, volumes=[{"name": "v", "nfs": {"server": "s", "path": "/"}}]).ok, 10)

    @pytest.mark.parametrize(
        "name", ["host network", "host port", "host path", "privileged", "probe of the metadata service"]
    )
    def test_what_passes_every_network_policy_is_refused(self, bare: Rig, name: str) -> None:
        spec, asked = PODS[name]
        # Of one field the stricter control is told, where one asks for it.
        control = "host-path" if asked == "volume-types" else asked
        reply = tried(bare, **spec)
        assert re.search(rf"\[{control}( \([^)]*\))?, asked by the enrolment of the namespace\]", reply.message)


class TestIdentity:
    @pytest.mark.parametrize("value", ["payments", "PAYMENTS", "", "paym\u0435nts", "payments.", "default "])
    def test_another_label_than_ones_own(self, rig: Rig, value: str) -> None:
        """Among them a Cyrillic e, which the API server's own validation refuses."""
        assert not rig.api.create(pod("attack", "shop", labels={IDENTITY: value}), dry_run=True).ok

    def test_spoofed_owner(self, rig: Rig) -> None:
        """Nothing is believed because of an owner: a controller's pods are judged as everybody's."""
        bad = pod("attack", "shop", hostPID=True, labels={IDENTITY: "payments"})
        owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "kube-proxy", "uid": "1", "controller": True}
        bad["metadata"]["ownerReferences"] = [owner]
        assert not rig.api.create(bad, dry_run=True).ok

    def test_mirror_pod(self, rig: Rig) -> None:
        bad = pod("attack", "shop", nodeName="n1", hostNetwork=True)
        bad["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x", "kubernetes.io/config.source": "file"}
        assert not rig.api.create(bad, dry_run=True).ok

    def test_the_service_account_of_a_living_pod(self, rig: Rig) -> None:
        assert rig.api.create(pod("steady", "shop")).ok
        where = "/api/v1/namespaces/shop/pods/steady"
        for field in ("serviceAccountName", "serviceAccount"):
            reply = rig.api.merge(where, {"spec": {field: "payments"}})
            assert not reply.ok or rig.api.request("GET", where).body["spec"]["serviceAccountName"] == "default"
        assert rig.api.request("GET", where).body["metadata"]["labels"] == {IDENTITY: "default"}

    def test_the_deprecated_name_of_the_field(self, rig: Rig) -> None:
        """`serviceAccount` is what older manifests say; the label follows whatever the pod then runs under."""
        reply = tried(rig, serviceAccount="payments")
        assert reply.body["spec"]["serviceAccountName"] == "payments"
        assert reply.body["metadata"]["labels"][IDENTITY] == "payments"

    def test_a_name_that_no_label_can_hold(self, rig: Rig) -> None:
        name = "a" * 64
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "shop"}}
        assert rig.api.create(account).ok
        assert not tried(rig, serviceAccountName=name).ok


class TestOptOut:
    @pytest.mark.parametrize(
        "key",
        [
            "ringfence.dev/inject",
            "ringfence.dev/ignore",
            "admission.ringfence.dev/ignore",
            "sidecar.istio.io/inject",
            "control-plane",
            "pod-security.kubernetes.io/enforce",
        ],
    )
    @pytest.mark.parametrize("where", ["labels", "annotations"])
    def test_nothing_that_a_pod_says_of_itself(self, rig: Rig, key: str, where: str) -> None:
        bad = pod("attack", "shop", hostPID=True)
        bad["metadata"][where] = {key: "disabled" if "pod-security" not in key else "privileged"}
        assert not rig.api.create(bad, dry_run=True, user=TENANT).ok

    def test_the_enrolment_of_a_namespace_by_its_admin(self, rig: Rig) -> None:
        where = "/api/v1/namespaces/shop"
        for value in (None, "audit", "none"):
            reply = rig.api.merge(where, {"metadata": {"labels": {"ringfence.dev/enroll": value}}}, user=TENANT)
            assert "enrol" in reply.message

    def test_the_name_by_which_namespaces_are_exempt(self, rig: Rig) -> None:
        """The API server puts its own value back."""
        label = "kubernetes.io/metadata.name"
        for value in ("kube-system", None):
            reply = rig.api.merge("/api/v1/namespaces/shop", {"metadata": {"labels": {label: value}}}, user=TENANT)
            assert not reply.ok or reply.body["metadata"]["labels"][label] == "shop"


class TestExceptions:
    def given(self, **fields: Any) -> dict[str, Any]:
        return {
            "name": f"e{secrets.token_hex(3)}",
            "namespace": "shop",
            "identities": ["payments"],
            "controls": ["host-namespaces"],
            "reason": "a test",
            "until": "2099-01-01T00:00:00Z",
            **fields,
        }

    @pytest.fixture
    def excepting(self, rig: Rig) -> Iterator[Any]:
        """Sets the floor's exceptions, of which the webhook knows then; takes them away again."""
        mark = {"identities": ["default"], "controls": ["sysctls"]}
        marked = on_pod(sysctls=[{"name": "kernel.msgmax", "value": "1"}])

        def set_to(*exceptions: dict[str, Any]) -> None:
            told = (*exceptions, self.given(**mark)) if exceptions else ()
            reply = rig.api.apply(floor("floor", "restricted", told))
            assert reply.ok, reply.message
            until(lambda: tried(rig, **marked).ok is bool(told), 20, lambda: tried(rig, **marked).message)

        yield set_to
        set_to()

    def admitted(self, rig: Rig, account: str = "payments", **spec: Any) -> bool:
        return tried(rig, serviceAccountName=account, **(spec or {"hostPID": True})).ok

    def test_one_that_fits_frees(self, rig: Rig, excepting: Any) -> None:
        excepting(self.given())
        assert self.admitted(rig)

    def test_of_nothing_else_and_nobody_else(self, rig: Rig, excepting: Any) -> None:
        excepting(self.given())
        assert not self.admitted(rig, "default")
        assert not self.admitted(rig, volumes=[{"name": "v", "hostPath": {"path": "/"}}])

    def test_an_ended_one_does_not(self, rig: Rig, excepting: Any) -> None:
        excepting(self.given(until="2020-01-01T00:00:00Z"))
        assert not self.admitted(rig)

    def test_two_do_not_combine(self, rig: Rig, excepting: Any) -> None:
        excepting(self.given(controls=["host-ports"]), self.given(identities=["default"]))
        assert not self.admitted(rig)

    def test_that_of_another_namespace_does_not(self, rig: Rig, excepting: Any) -> None:
        excepting(self.given(namespace="other"))
        assert not self.admitted(rig)


class TestLockOut:
    @pytest.mark.parametrize("name", ["kube-system", "ringfence-system"])
    def test_a_floor_for_everything_leaves_the_clusters_own_alone(self, rig: Rig, name: str) -> None:
        until(lambda: rig.api.request("GET", f"/api/v1/namespaces/{name}/serviceaccounts/default").ok, 20)
        assert rig.api.create(pod("p", name, hostNetwork=True), dry_run=True).ok


def _count(rig: Rig) -> int:
    """How many reviews the webhook has answered for validation."""
    assert rig.webhook is not None
    lines = rig.webhook.get("/metrics")[1].splitlines()
    return sum(
        int(float(line.split()[-1]))
        for line in lines
        if line.startswith("ringfence_admission_reviews_total") and 'webhook="validate"' in line
    )
