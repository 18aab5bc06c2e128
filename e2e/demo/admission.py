"""What the author of a Deployment sees whose pods are refused, and what holds while no webhook answers."""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from e2e.cluster.errors import ClusterError
from e2e.demo import client, install, people, shop
from e2e.demo.attempts import ALLOWED, DENIED, Refusal, Row
from e2e.demo.client import Client, Object, until

_NAME = "careless"
_WEBHOOK = "deployment/ringfence-webhook"
_OWN = f"--namespace={install.NAMESPACE}"
#: What a useful answer to the careless Deployment names.
_WRONG = ("hostNetwork", "securityContext.privileged", "runAsNonRoot")


def careless(admin: Client, image: str) -> list[Row]:
    """A Deployment as people write it before they think of security: warned of at once, refused as pods."""
    deployment = _deployment(image)
    here = f"--namespace={shop.FRONTEND.namespace}"
    try:
        applied = admin.attempt("apply", "--filename=-", stdin=json.dumps(deployment))
        rows = [
            Row(
                "a careless Deployment",
                "kubectl apply",
                f"{ALLOWED}: with warnings that say what its pods will be refused for",
                "passed, with warnings" if "Warning: Ringfence" in applied.error else "passed, without a warning",
                applied.ok and all(word in applied.error for word in _WRONG),
                applied.error.strip(),
            )
        ]
        message = ""

        def told() -> bool:
            nonlocal message
            message = _failed_create(admin, here)
            return bool(message)

        try:
            until(told, "the ReplicaSet tells why it has no pod", within=60)
            happened = "refused"
        except ClusterError:
            happened = "no word of a refusal within 60 s"
        good = all(word in message for word in _WRONG)
        says = f"{DENIED}: everything that is wrong, each with its fix, on the ReplicaSet"
        rows.append(Row("a careless Deployment", "its pods", says, happened, good, message))
        return rows
    finally:
        admin.attempt("delete", here, f"deployment/{_NAME}", "--wait=false")


def without_webhooks(admin: Client, image: str) -> list[Row]:
    """Every webhook pod is gone: nothing comes into an enrolled namespace, and nobody else notices."""
    with _no_webhook(admin):
        return [each.row("with every webhook pod gone") for each in _attempts(admin, image)]


def _attempts(admin: Client, image: str) -> Iterable[Refusal]:
    def create(pod: Object, *, labels: dict[str, str] | None = None) -> Callable[[], client.Done]:
        pod["metadata"].setdefault("labels", {}).update(labels or {})
        return lambda: admin.create(pod, "--dry-run=server")

    yield Refusal(
        "another pod of the frontend",
        "what cannot be judged does not come in",
        create(shop.pod(shop.FRONTEND, image, "attempt")),
        ("ringfence",),
    )
    yield Refusal(
        "the intruder wearing checkout's label",
        "the API server itself holds that",
        create(shop.pod(shop.INTRUDER, image, "attempt"), labels={"ringfence.dev/identity": "checkout"}),
        ("ringfence.dev/identity",),
    )
    yield Refusal(
        "another pod of the intruder",
        "its namespace is none of Ringfence's business",
        create(shop.pod(shop.INTRUDER, image, "attempt")),
        passes=True,
    )
    olga = admin.acting_as(people.USER)
    yield Refusal(
        "un-enrol shop, as its admin",
        "the API server itself holds that",
        lambda: olga.attempt("label", "namespace", "shop", "ringfence.dev/enroll-"),
        ("enroll",),
    )


@contextmanager
def _no_webhook(admin: Client) -> Iterator[None]:
    """The webhook's Deployment scaled to nothing while the block runs."""
    replicas = admin.get(_OWN, _WEBHOOK)["spec"]["replicas"]
    admin.run("scale", _OWN, _WEBHOOK, "--replicas=0")
    try:
        until(lambda: not _pods(admin), "the webhook's pods are gone", within=90)
        yield
    finally:
        admin.run("scale", _OWN, _WEBHOOK, f"--replicas={replicas}")
        admin.run("rollout", "status", _OWN, _WEBHOOK, "--timeout=120s", timeout=130)


def _pods(admin: Client) -> list[Object]:
    selector = "--selector=app.kubernetes.io/component=webhook"
    found: list[Object] = admin.get("pods", _OWN, selector)["items"]
    return found


def _failed_create(admin: Client, here: str) -> str:
    """What the ReplicaSet says of the pod that it could not make; "" while it says nothing."""
    events = admin.get("events", here, "--field-selector=reason=FailedCreate")["items"]
    ours = [each for each in events if each["involvedObject"]["name"].startswith(f"{_NAME}-")]
    return str(ours[-1]["message"]) if ours else ""


def _deployment(image: str) -> Object:
    pod = shop.pod(shop.FRONTEND, image, _NAME)
    spec = pod["spec"]
    spec.pop("securityContext", None)
    spec["hostNetwork"] = True
    for container in spec["containers"]:
        container["securityContext"] = {"privileged": True}
    labels = {"app": _NAME}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": _NAME, "namespace": shop.FRONTEND.namespace},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }
