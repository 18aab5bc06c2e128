"""A real API server with a real webhook process behind it, as the tests of admission need them.

The webhook is reached by URL instead of by Service, since nobody routes to Services here; all else is as the chart
installs it: the same configurations, the same backstop policies, the serving certificate from its Secret.
"""

import base64
import contextlib
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from ringfence.inject.injection import Injection
from ringfence.model import labels
from ringfence.model.labels import LabelBox
from ringfence.model.world import Enrolment, Installation
from ringfence.pki import serving
from ringfence.translate import admission_policy, sessions, webhook_config
from ringfence.translate.backstop import verdicts

from e2e.cluster import controlplane, ports
from tests.component.requests_as import Api

OWN = "ringfence-system"
CONTROLLER = f"system:serviceaccount:{OWN}:ringfence-controller"
IDENTITY = "ringfence.dev/identity"
ENROLL = "ringfence.dev/enroll"
#: Asked about sessions wherever pods are asked about, as by a floor that closes them.
EVERYWHERE = sessions.Sessions((LabelBox.of({ENROLL: labels.one_of("audit", "enforce")}),))
REPOSITORY = Path(__file__).resolve().parents[2]

_PROGRAM = """
import os, sys
from pathlib import Path
from ringfence import settings
from ringfence.webhook import main
set_up = settings.parse(sys.argv[1], {"POD_NAMESPACE": "ringfence-system", "POD_NAME": "webhook-test"})
options = main.Options(host="127.0.0.1", port=int(sys.argv[2]), kubeconfig=Path(sys.argv[3]), drain=float(sys.argv[4]))
sys.exit(main.run(set_up, options))
"""


@dataclass
class Webhook:
    """The process and its ports."""

    process: subprocess.Popen[bytes]
    port: int
    http_port: int
    log: Path

    def get(self, path: str) -> tuple[int, str]:
        """From its plain port; status 0 while nobody listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=2) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def wait_ready(self, *, ready: bool = True, within: float = 120.0) -> None:
        """Until /readyz says so."""
        self.wait(lambda: (self.get("/readyz")[0] == 200) == ready, within)

    def wait(self, condition: Any, within: float = 30.0) -> None:
        """Until a condition holds."""
        until(condition, within, lambda: f"{self.get('/readyz')} {self.log.read_text()[-3000:]}")

    def stop(self, *, kill: bool = False) -> int:
        """End it; its exit status."""
        (self.process.kill if kill else self.process.terminate)()
        return self.process.wait(60)


@dataclass
class Rig:
    """All of it."""

    plane: controlplane.ControlPlane
    api: Api
    directory: Path
    installation: Installation
    default_enrolment: Enrolment = Enrolment.NONE
    proxy: Injection | None = None
    webhook: Webhook | None = None
    ca: serving.Pair | None = None
    webhooks: list[Webhook] = field(default_factory=list)

    def start_webhook(
        self, *, wait: bool = True, kubeconfig: Path | None = None, first: str = "", drain: float = 0.2
    ) -> Webhook:
        """A webhook process, ready unless nobody waits; it may do everything unless ``kubeconfig`` says otherwise.

        ``first`` is Python that it runs before anything else: other clocks, less patience. ``drain``: seconds for
        which it goes on after SIGTERM.
        """
        port, http_port = ports.free(2)
        log = self.directory / f"webhook-{len(self.webhooks)}.log"
        settings = f"httpHost: 127.0.0.1\nhttpPort: {http_port}\ndefaultEnroll: {self.default_enrolment.value}\n"
        if self.proxy is not None:
            settings += f"proxy: {{enabled: true, image: {self.proxy.settings.image!r}}}\n"
        access = str(kubeconfig or self.plane.kubeconfig)
        command = [sys.executable, "-c", first + _PROGRAM, settings, str(port), access, str(drain)]
        with log.open("wb") as stream:
            process = subprocess.Popen(command, cwd=REPOSITORY, stdout=stream, stderr=stream)
        self.webhook = Webhook(process, port, http_port, log)
        self.webhooks.append(self.webhook)
        if wait:
            self.webhook.wait_ready()
        return self.webhook

    def certify(self, ca: serving.Pair, *, life: float = 30 * 86400) -> None:
        """Store a leaf of this CA where the webhook looks for it."""
        from datetime import timedelta

        leaf = serving.issue(ca, ["localhost"], time.time(), secrets.randbits(120) | 1, life=timedelta(seconds=life))
        data = {"tls.crt": leaf.certificate, "tls.key": leaf.key, "ca.crt": ca.certificate}
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "ringfence-webhook-tls", "namespace": OWN},
            "type": "kubernetes.io/tls",
            "data": {name: base64.b64encode(value).decode() for name, value in data.items()},
        }
        assert self.api.apply(secret).ok

    def configure(self, bundle: bytes | None = None, *, url: str = "", patience: int = 0) -> None:
        """Write the webhook configurations, as the controller does; ``patience``: another timeout, in seconds."""
        assert self.webhook is not None
        assert self.ca is not None
        endpoint = webhook_config.Endpoint(
            bundle or self.ca.certificate, url or f"https://localhost:{self.webhook.port}"
        )
        for obj in webhook_config.objects(
            self.installation, endpoint, default_enrolment=self.default_enrolment, sessions=EVERYWHERE
        ):
            webhooks = [each | ({"timeoutSeconds": patience} if patience else {}) for each in obj["webhooks"]]
            reply = self.api.apply({**obj, "webhooks": webhooks})
            assert reply.ok, reply.message

    def backstop(self) -> None:
        """Write the policies and wait until they are in force."""
        for obj in admission_policy.objects(
            self.installation, default_enrolment=self.default_enrolment, proxy=self.proxy
        ):
            reply = self.api.apply(obj)
            assert reply.ok, reply.message
        probe = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "probe", "labels": {IDENTITY: "x"}}}
        user = {"user": "somebody", "groups": ["system:masters-not"]}
        self.grant("somebody", [("", ["namespaces"], ["create"])])
        until(lambda: "ringfence-namespaces" in self.api.create(probe, dry_run=True, **user).message, 30)
        # The API server takes bindings up in the order in which they were written: with the last one all are in force.
        verdict = {
            "apiVersion": "ringfence.dev/v1alpha1",
            "kind": "ImageVerdict",
            "metadata": {"name": "probe", "namespace": OWN},
            "spec": {"image": "registry.example/probe@sha256:" + "0" * 64, "requested": "2026-01-01T00:00:00Z"},
        }
        assert admission_policy.NAMES[-1] == verdicts.NAME
        until(lambda: verdicts.NAME in self.api.create(verdict, dry_run=True).message, 30)
        zoned = pod("probe", "default", labels={"ringfence.dev/zone": "x"})
        assert "ringfence-pods" in self.api.create(zoned, dry_run=True).message

    def grant(self, user: str, rules: Sequence[tuple[str, list[str], list[str]]]) -> None:
        """A ClusterRole of (group, resources, verbs) for a user."""
        name = f"test:{user}".replace("/", "-")
        role = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": name},
            "rules": [{"apiGroups": [group], "resources": each, "verbs": verbs} for group, each, verbs in rules],
        }
        binding = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}],
        }
        assert self.api.apply(role).ok
        assert self.api.apply(binding).ok
        # The API server learns of rights by a watch of its own.
        group, (resource, *_), (verb, *_) = rules[0]
        asked = {"group": group, "resource": resource.partition("/")[0], "verb": verb}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "metadata": {},
            "spec": {"user": user, "resourceAttributes": {**asked, "subresource": resource.partition("/")[2]}},
        }
        until(lambda: self.api.create(review).body.get("status", {}).get("allowed"), 20)

    def namespace(self, name: str, enroll: str = "", **labels: str) -> None:
        """A namespace with its `default` ServiceAccount, enrolled or not."""
        wanted = {**labels, **({ENROLL: enroll} if enroll else {})}
        obj = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": wanted}}
        reply = self.api.create(obj)
        assert reply.ok, reply.message
        account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        until(lambda: self.api.request("GET", account).ok, 20)

    def enforced(self, name: str, *identities: str) -> None:
        """A closed namespace: enrolled, with its default deny and these ServiceIdentities."""
        self.namespace(name, "enforce")
        assert self.api.create(default_deny(name), user=CONTROLLER, groups=["system:masters"]).ok
        for each in identities or ("default",):
            reply = self.api.create(identity(name, each))
            assert reply.ok, reply.message
        # The webhook hears of all this by its watches.
        until(
            lambda: self.api.create(pod("probe", name), dry_run=True).ok,
            10,
            lambda: str(self.api.create(pod("probe", name), dry_run=True)),
        )


@contextlib.contextmanager
def rig(
    name: str,
    directory: Path,
    *,
    webhook: bool = True,
    default_enrolment: Enrolment = Enrolment.NONE,
    audit_log: Path | None = None,
    arguments: Sequence[str] = (),
    proxy: Injection | None = None,
) -> Iterator[Rig]:
    """An API server with Ringfence's CRDs and backstop, and with the webhook unless told otherwise.

    ``arguments`` are added to the API server's own. ``proxy``: how pods get a proxy.
    """
    with controlplane.ControlPlane(name, audit_log=audit_log, arguments=arguments) as plane:
        # With rights of their own: what an administrator may do, the policies let pass anyway.
        plane.start_controllers(["namespace-controller", "serviceaccount-controller"], as_themselves=True)
        made = Rig(plane, Api(plane), directory, Installation(), default_enrolment, proxy)
        try:
            for path in sorted((REPOSITORY / "crds").glob("*.yaml")):
                reply = made.api.apply(yaml.safe_load(path.read_text()))
                assert reply.ok, reply.message
            made.namespace(OWN)
            for plural in ("serviceidentities", "securitypolicies", "clustersecuritypolicies"):
                served = f"/apis/ringfence.dev/v1alpha1/{plural}"
                until(lambda served=served: made.api.request("GET", served).ok, 20)
            if webhook:
                made.ca = serving.make_ca(time.time(), secrets.randbits(120) | 1)
                made.certify(made.ca)
                made.start_webhook()
                made.configure()
            made.backstop()
            yield made
        finally:
            for each in made.webhooks:
                if each.process.poll() is None:
                    each.stop(kill=True)


def until(condition: Any, within: float, describe: Any = lambda: "") -> None:
    """Wait for a condition; fail with the description."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not within {within} s: {describe()}"
        time.sleep(0.05)


def pod(name: str, namespace: str, *, labels: Mapping[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    """A pod that the restricted standard accepts, unless ``spec`` says otherwise."""
    metadata: dict[str, Any] = {"name": name, "namespace": namespace}
    if labels is not None:
        metadata["labels"] = dict(labels)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container("main")],
            **spec,
        },
    }


def container(name: str, **fields: Any) -> dict[str, Any]:
    """A container that the restricted standard accepts; ``context`` is merged into its securityContext."""
    context = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, **fields.pop("context", {})}
    return {"name": name, "image": "registry.example/program", "securityContext": context, **fields}


def identity(namespace: str, name: str, **spec: Any) -> dict[str, Any]:
    """A ServiceIdentity."""
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "ringfence.dev/v1alpha1", "kind": "ServiceIdentity", "metadata": metadata, "spec": spec}


def floor(name: str, level: str, exceptions: Sequence[Mapping[str, Any]] = (), mode: str = "Enforce") -> dict[str, Any]:
    """A ClusterSecurityPolicy that asks for a Pod Security level."""
    spec: dict[str, Any] = {"mode": mode, "namespaceSelector": {}, "admission": {"podSecurity": level}}
    if exceptions:
        spec["exceptions"] = list(exceptions)
    return {
        "apiVersion": "ringfence.dev/v1alpha1",
        "kind": "ClusterSecurityPolicy",
        "metadata": {"name": name},
        "spec": spec,
    }


def default_deny(namespace: str) -> dict[str, Any]:
    """What the controller writes before a namespace's first pod."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": "ringfence-default-deny",
            "namespace": namespace,
            "labels": {"app.kubernetes.io/managed-by": "ringfence", "ringfence.dev/purpose": "network"},
        },
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
    }
