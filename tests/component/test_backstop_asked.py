"""With every webhook dead and its configurations deleted, what policies ask of pods holds; nobody else is bothered."""

import copy
import json
import secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.component import backstop_rig, webhook_rig
from tests.component.backstop_rig import by_backstop, cluster_policy, policy
from tests.component.requests_as import Reply
from tests.component.test_attacks_admission import PODS, PRIVILEGED
from tests.component.webhook_rig import ENROLL, IDENTITY, Rig, container, identity, pod, until

pytestmark = pytest.mark.component

STRATEGIC = "application/strategic-merge-patch+json"
DIGEST = "@sha256:" + "0123456789abcdef" * 4
GOOD_IMAGE = f"registry.example/program{DIGEST}"
FLOOR = {"floor": "restricted"}
HELD = ("shop", "late", "excepted")
NAMESPACES: dict[str, dict[str, str]] = {
    "shop": {ENROLL: "enforce", **FLOOR},
    "excepted": {ENROLL: "enforce", **FLOOR},
    "narrow": {ENROLL: "enforce"},
    "bare": {ENROLL: "enforce"},
    "lenient": {ENROLL: "enforce"},
    "late": FLOOR,
    "audited": {ENROLL: "audit", **FLOOR},
    "plain": FLOOR,
}


def exception(name: str, *controls: str, until: str = "2099-01-01T00:00:00Z") -> dict[str, Any]:
    return {
        "name": name,
        "namespace": "excepted",
        "identities": ["agent"],
        "controls": list(controls),
        "reason": "a test",
        "until": until,
    }


def resources(*more: dict[str, Any]) -> list[dict[str, Any]]:
    exceptions = [
        exception("node", "host-namespaces"),
        exception("ports", "host-ports"),
        exception("images", "image-registries"),
        exception("ended", "host-namespaces", "host-ports", until="2020-01-01T00:00:00Z"),
        *more,
    ]
    everywhere = {"registries": ["registry.example"], "requireDigest": True}
    return [
        cluster_policy(
            "floor",
            namespaceSelector={"matchLabels": FLOOR},
            admission={"podSecurity": "restricted"},
            exceptions=exceptions,
        ),
        cluster_policy(
            "images",
            namespaceSelector={"matchLabels": FLOOR},
            admission={"images": {"registries": ["registry.example"]}},
        ),
        policy("shop", "images", admission={"images": everywhere}),
        policy("late", "images", admission={"images": everywhere}),
        policy("narrow", "vault", appliesTo={"identities": ["vault"]}, admission={"podSecurity": "restricted"}),
        policy(
            "narrow",
            "pci",
            appliesTo={"podSelector": {"matchLabels": {"tier": "pci"}}},
            admission={"podSecurity": {"level": "restricted", "version": "1.30"}, "images": everywhere},
        ),
        policy("lenient", "later", mode="Audit", admission={"podSecurity": "restricted"}),
        identity("excepted", "agent"),
        identity("narrow", "vault"),
    ]


def enrolled(*late: str) -> dict[str, dict[str, str]]:
    return {name: {**labels, **({ENROLL: "enforce"} if name in late else {})} for name, labels in NAMESPACES.items()}


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with webhook_rig.rig("backstop-asked", tmp_path_factory.mktemp("backstop-asked")) as made:
        for name, labels in NAMESPACES.items():
            made.namespace(name, **labels)
        for namespace, name in (("excepted", "agent"), ("narrow", "vault")):
            account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}}
            assert made.api.create(account).ok
        assert made.webhook is not None
        assert made.webhook.stop(kill=True) != 0
        for plural in ("mutatingwebhookconfigurations", "validatingwebhookconfigurations"):
            assert made.api.request("DELETE", f"/apis/admissionregistration.k8s.io/v1/{plural}/ringfence").ok
        old = labelled("old", "late", image="elsewhere.example/x", hostPID=True)
        del old["metadata"]["labels"]
        assert made.api.create(old).ok
        many = pod("many", "late", containers=[container(f"c{number}") for number in range(3000)])
        assert made.api.create(many).ok
        assert made.api.merge("/api/v1/namespaces/late", {"metadata": {"labels": {ENROLL: "enforce"}}}).ok
        backstop_rig.hold(made, backstop_rig.world(enrolled("late"), resources()))
        bad = [labelled("p", name, hostNetwork=True) for name, labels in enrolled("late").items() if ENROLL in labels]
        narrow = labelled("p", "narrow", "vault", root=True)
        backstop_rig.wait_held(made, [*(each for each in bad if each["metadata"]["namespace"] != "audited"), narrow])
        pci = labelled("p", "narrow", image="x")
        pci["metadata"]["labels"]["tier"] = "pci"
        backstop_rig.wait_held(made, [pci])
        yield made


def labelled(
    name: str,
    namespace: str,
    account: str = "default",
    *,
    image: str = GOOD_IMAGE,
    root: bool = False,
    **spec: Any,
) -> dict[str, Any]:
    """A good pod but for ``spec``; every image is a good one unless told otherwise."""
    made = pod(name, namespace, serviceAccountName=account, **copy.deepcopy(spec))
    if namespace != "plain":
        made["metadata"]["labels"] = {IDENTITY: account}
    for each in (*made["spec"]["containers"], *made["spec"].get("initContainers", ())):
        each["image"] = image
    if root:
        made["spec"]["securityContext"]["runAsUser"] = 0
    return made


def tried(rig: Rig, made: dict[str, Any]) -> Reply:
    return rig.api.create(made, dry_run=True)


class TestNewPods:
    @pytest.mark.parametrize("namespace", ["shop", "late", "excepted"])
    @pytest.mark.parametrize("name", PODS)
    def test_no_attack_passes(self, rig: Rig, namespace: str, name: str) -> None:
        spec, control = PODS[name]
        reply = tried(rig, labelled("p", namespace, **spec))
        assert by_backstop(reply), reply.message
        assert f"namespace {namespace} asks for restricted:latest, image-" in reply.message
        assert control in reply.message
        assert "ringfence admit" in reply.message

    @pytest.mark.parametrize("namespace", [*HELD, "bare", "narrow", "lenient", "audited", "plain"])
    def test_a_good_pod_does(self, rig: Rig, namespace: str) -> None:
        reply = tried(rig, labelled("p", namespace))
        assert reply.ok, reply.message

    @pytest.mark.parametrize("namespace", ["plain", "audited"])
    @pytest.mark.parametrize("name", PODS)
    def test_where_nothing_is_enforced_nobody_is_disturbed(self, rig: Rig, namespace: str, name: str) -> None:
        reply = tried(rig, labelled("p", namespace, image="anything", **PODS[name][0]))
        assert reply.ok, reply.message

    def test_apparmor_by_the_annotation_of_old(self, rig: Rig) -> None:
        bad = labelled("p", "shop")
        bad["metadata"]["annotations"] = {"container.apparmor.security.beta.kubernetes.io/main": "unconfined"}
        assert "apparmor" in tried(rig, bad).message

    @pytest.mark.parametrize("control", ["host-namespaces", "host-ports", "host-probes", "privileged"])
    def test_a_closed_network_stays_closed_whatever_policies_ask(self, rig: Rig, control: str) -> None:
        spec = next(spec for spec, broken in PODS.values() if broken == control)
        for namespace in ("bare", "narrow", "lenient"):
            reply = tried(rig, labelled("p", namespace, **spec))
            assert by_backstop(reply), reply.message
            assert f"namespace {namespace} is closed" in reply.message
            assert tried(rig, labelled("p", namespace, root=True)).ok

    @pytest.mark.parametrize(
        ("image", "controls"),
        [
            ("registry.example/program", "image-digest"),
            ("registry.example/program:v1", "image-digest"),
            (f"program{DIGEST}", "image-registries"),
            (f"registry.example.evil/program{DIGEST}", "image-registries"),
            (f"evil.example/registry.example/program{DIGEST}", "image-registries"),
            (f"registry.example:5000/program{DIGEST}", "image-registries"),
            (f"r\u0435gistry.example/program{DIGEST}", "image-digest, image-registries"),
            (f"registry.example/Program{DIGEST}", "image-digest, image-registries"),
            ("registry.example/program@sha256:1234", "image-digest, image-registries"),
            ("0123456789abcdef" * 4, "image-digest, image-registries"),
        ],
    )
    def test_images_of_others(self, rig: Rig, image: str, controls: str) -> None:
        reply = tried(rig, labelled("p", "shop", image=image))
        assert f"this pod breaks {controls};" in reply.message
        mounted = [{"name": "v", "image": {"reference": image}}]
        assert f"this pod breaks {controls};" in tried(rig, labelled("p", "shop", volumes=mounted)).message

    @pytest.mark.parametrize("image", [f"REGISTRY.example/program:v1{DIGEST}", f"registry.example/a/b/c_d{DIGEST}"])
    def test_images_of_ours(self, rig: Rig, image: str) -> None:
        assert tried(rig, labelled("p", "shop", image=image)).ok

    def test_one_bad_container_among_hundreds_is_found(self, rig: Rig) -> None:
        good = labelled("p", "shop", containers=[container(f"c{number}") for number in range(300)])
        assert tried(rig, good).ok
        for change in ({"image": "x"}, {"securityContext": PRIVILEGED}):
            bad = copy.deepcopy(good)
            bad["spec"]["containers"][299] |= change
            assert by_backstop(tried(rig, bad))

    def test_duplicate_keys_are_judged_as_they_are_stored(self, rig: Rig) -> None:
        text = json.dumps(labelled("p", "shop", hostPID=False))
        for first, last, good in (("true", "false", True), ("false", "true", False)):
            body = text.replace('"hostPID": false', f'"hostPID": {first}, "hostPID": {last}').encode()
            path = "/api/v1/namespaces/shop/pods?dryRun=All&fieldValidation=Ignore"
            assert rig.api.request("POST", path, body).ok is good

    def test_a_kubelet_shows_its_static_pods_and_nobody_else_does(self, rig: Rig) -> None:
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}
        assert rig.api.create(node).ok
        uid = rig.api.request("GET", "/api/v1/nodes/n1").body["metadata"]["uid"]
        static = pod("static-n1", "shop", nodeName="n1", hostNetwork=True)
        owner = {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": uid, "controller": True}
        static["metadata"] |= {
            "annotations": {"kubernetes.io/config.mirror": "0", "kubernetes.io/config.hash": "0"},
            "ownerReferences": [owner],
        }
        assert not tried(rig, static).ok
        by_node: dict[str, Any] = {"user": "system:node:n1", "groups": ["system:nodes", "system:authenticated"]}
        reply = rig.api.create(static, dry_run=True, **by_node)
        assert reply.ok, reply.message


class TestSomePods:
    def test_only_the_identity_that_is_meant(self, rig: Rig) -> None:
        assert by_backstop(tried(rig, labelled("p", "narrow", "vault", root=True)))
        assert tried(rig, labelled("p", "narrow", root=True)).ok
        assert tried(rig, labelled("p", "narrow", "vault")).ok

    def test_only_the_labels_that_are_meant(self, rig: Rig) -> None:
        for labels, good in (({"tier": "pci"}, False), ({"tier": "web"}, True), ({}, True)):
            made = labelled("p", "narrow", image="x")
            made["metadata"]["labels"] |= labels
            assert tried(rig, made).ok is good

    def test_a_label_moves_no_pod_under_a_policy_that_it_breaks(self, rig: Rig) -> None:
        bad, good = labelled("moved-bad", "narrow", root=True), labelled("moved-good", "narrow")
        for each, fits in ((bad, False), (good, True)):
            assert rig.api.create(each).ok
            path = f"/api/v1/namespaces/narrow/pods/{each['metadata']['name']}"
            reply = rig.api.merge(path, {"metadata": {"labels": {"tier": "pci"}}})
            assert (reply.ok or not by_backstop(reply)) is fits, reply.message
        path = "/api/v1/namespaces/narrow/pods/moved-good"
        assert rig.api.merge(path, {"metadata": {"labels": {"tier": None}}}).ok


class TestChanges:
    @pytest.fixture
    def target(self, rig: Rig) -> str:
        name = f"target-{secrets.token_hex(4)}"
        assert rig.api.create(labelled(name, "shop")).ok
        return f"/api/v1/namespaces/shop/pods/{name}"

    @pytest.mark.parametrize("kind", ["merge", "strategic", "json", "apply", "put"])
    @pytest.mark.parametrize(("image", "good"), [("elsewhere.example/x", False), (f"{GOOD_IMAGE[:-1]}0", True)])
    def test_an_image_by_every_kind_of_write(self, rig: Rig, target: str, kind: str, image: str, good: bool) -> None:
        containers = [{**container("main"), "image": image}]
        body: Any = {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": containers}}
        if kind == "put":
            now = rig.api.request("GET", target).body
            now["spec"]["containers"][0]["image"] = image
            reply = rig.api.request("PUT", target, now)
        elif kind == "json":
            body = [{"op": "replace", "path": "/spec/containers/0/image", "value": image}]
            reply = rig.api.request("PATCH", target, body, media="application/json-patch+json")
        elif kind == "apply":
            body["spec"]["containers"] = [{"name": "main", "image": image}]
            path = f"{target}?fieldManager=x&force=true"
            reply = rig.api.request("PATCH", path, body, media="application/apply-patch+yaml")
        else:
            now = rig.api.request("GET", target).body["spec"]["containers"][0]
            body["spec"]["containers"] = [{**now, "image": image}]
            media = STRATEGIC if kind == "strategic" else "application/merge-patch+json"
            reply = rig.api.request("PATCH", target, body, media=media)
        assert reply.ok if good else by_backstop(reply), reply.message

    @pytest.mark.parametrize(
        ("extra", "good"),
        [
            ({"image": "x"}, False),
            ({"securityContext": PRIVILEGED}, False),
            ({"securityContext": {}}, False),
            ({"securityContext": {"runAsUser": 0}}, False),
            ({}, True),
        ],
    )
    def test_an_ephemeral_container(self, rig: Rig, target: str, extra: dict[str, Any], good: bool) -> None:
        reply = debug(rig, target, **extra)
        assert reply.ok if good else by_backstop(reply), reply.message

    def test_while_the_pod_ends(self, rig: Rig) -> None:
        ending = labelled("ending", "shop")
        ending["metadata"]["finalizers"] = ["example.com/hold"]
        assert rig.api.create(ending).ok
        where = "/api/v1/namespaces/shop/pods/ending"
        assert rig.api.request("DELETE", f"{where}?gracePeriodSeconds=0").ok
        assert by_backstop(debug(rig, where, securityContext=PRIVILEGED))
        assert rig.api.merge(where, {"metadata": {"finalizers": None}}).ok

    def test_pods_from_before_go_on(self, rig: Rig) -> None:
        """They broke everything before anybody asked for it, and one is larger than any expression may look at."""
        for name in ("old", "many"):
            path = f"/api/v1/namespaces/late/pods/{name}"
            for change in (
                {"labels": {"a": "b"}},
                {"finalizers": ["x.example/y"]},
                {"finalizers": None},
            ):
                reply = rig.api.merge(path, {"metadata": change})
                assert reply.ok, reply.message
            reply = rig.api.merge(f"{path}/status", {"status": {"phase": "Running", "podIP": "10.0.0.1"}})
            assert reply.ok, reply.message
        path = "/api/v1/namespaces/late/pods/old"
        assert rig.api.merge(path, {"metadata": {"annotations": {"a": "b"}}}).ok
        assert by_backstop(debug(rig, path, securityContext=PRIVILEGED))
        assert debug(rig, path).ok
        worse = [{"op": "replace", "path": "/spec/containers/0/image", "value": "elsewhere.example/other"}]
        assert by_backstop(rig.api.request("PATCH", path, worse, media="application/json-patch+json"))
        better = [{"op": "replace", "path": "/spec/containers/0/image", "value": GOOD_IMAGE}]
        assert rig.api.request("PATCH", path, better, media="application/json-patch+json").ok
        for name in ("old", "many"):
            assert rig.api.request("DELETE", f"/api/v1/namespaces/late/pods/{name}?gracePeriodSeconds=0").ok

    def test_a_namespace_that_is_let_go_is_let_go_at_once(self, rig: Rig) -> None:
        """The bindings still name it; nobody is there to write them anew."""
        bad = labelled("p", "lenient", hostNetwork=True)
        path = "/api/v1/namespaces/lenient"
        assert by_backstop(tried(rig, bad))
        assert rig.api.merge(path, {"metadata": {"labels": {ENROLL: "audit"}}}).ok
        until(lambda: tried(rig, bad).ok, 10)
        assert rig.api.merge(path, {"metadata": {"labels": {ENROLL: "enforce"}}}).ok
        until(lambda: by_backstop(tried(rig, bad)), 10)


class TestExceptions:
    PORTS = container("main", ports=[{"containerPort": 80, "hostPort": 80}])

    def test_one_lets_in_what_it_covers_and_whom_it_names(self, rig: Rig) -> None:
        for spec in ({"hostPID": True}, {"containers": [self.PORTS]}):
            assert tried(rig, labelled("p", "excepted", "agent", **spec)).ok
            assert by_backstop(tried(rig, labelled("p", "excepted", **spec)))
            assert by_backstop(tried(rig, labelled("p", "shop", **spec)))
        assert tried(rig, labelled("p", "excepted", "agent", image="elsewhere.example/x")).ok

    def test_two_never_combine(self, rig: Rig) -> None:
        both = labelled("p", "excepted", "agent", hostPID=True, containers=[self.PORTS])
        reply = tried(rig, both)
        assert by_backstop(reply)
        assert "host-namespaces, host-ports" in reply.message
        across = labelled("p", "excepted", "agent", hostPID=True, image="elsewhere.example/x")
        assert by_backstop(tried(rig, across))

    def test_nor_over_time(self, rig: Rig) -> None:
        """A pod that came in under one exception does not go on under another."""
        assert rig.api.create(labelled("one", "excepted", "agent", hostPID=True)).ok
        where = "/api/v1/namespaces/excepted/pods/one"
        bad = [{"op": "replace", "path": "/spec/containers/0/image", "value": "elsewhere.example/x"}]
        assert by_backstop(rig.api.request("PATCH", where, bad, media="application/json-patch+json"))
        assert debug(rig, where).ok
        assert rig.api.merge(where, {"metadata": {"labels": {"a": "b"}}}).ok

    def test_each_ends_by_itself(self, rig: Rig) -> None:
        """Nobody takes it out of the policy: a new pod tells the time."""
        nfs = labelled("p", "excepted", "agent", volumes=[{"name": "v", "nfs": {"server": "x", "path": "/"}}])
        former = backstop_rig.names_of("excepted", enrolled("late"), resources())
        # Where a machine is so busy that it is over before it is in force, one that is longer.
        for life in (12, 60):
            end = time.time() + life
            until_ = datetime.fromtimestamp(end, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            given = resources(exception("soon", "volume-types", until=until_))
            backstop_rig.hold(rig, backstop_rig.world(enrolled("late"), given))
            # The former policy, that nobody prunes here, still refuses; without it the new one alone answers.
            for name in former:
                for plural in ("validatingadmissionpolicybindings", "validatingadmissionpolicies"):
                    rig.api.request("DELETE", f"/apis/admissionregistration.k8s.io/v1/{plural}/{name}")
            former = backstop_rig.names_of("excepted", enrolled("late"), given)
            until(lambda end=end: tried(rig, nfs).ok or time.time() > end, life + 5, lambda: tried(rig, nfs).message)
            if opened := time.time() < end - 1:
                break
        assert opened
        until(lambda: by_backstop(tried(rig, nfs)), life + 10)
        assert time.time() > end - 1
        assert tried(rig, labelled("p", "excepted", "agent", hostPID=True)).ok


def debug(rig: Rig, path: str, **fields: Any) -> Reply:
    """Add an ephemeral container that is good but for ``fields``."""
    name = f"debug-{secrets.token_hex(4)}"
    body = {"spec": {"ephemeralContainers": [{**container(name), "image": GOOD_IMAGE, **fields}]}}
    return rig.api.request("PATCH", f"{path}/ephemeralcontainers", body, media=STRATEGIC)
