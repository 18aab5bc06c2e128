"""The floor of containers beside a proxy."""

from typing import Any

import pytest
from ringfence.controls import pod, proxy_floor
from ringfence.controls.pod import Subject
from ringfence.inject import floor

DIGEST = "registry.example/x@sha256:" + "0" * 64
GOOD: dict[str, Any] = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def subject(
    context: dict[str, Any] | None = None, *, kind: str = "containers", image: str = DIGEST, **spec: Any
) -> Subject:
    container = {"name": "a", "image": image, "securityContext": GOOD if context is None else context}
    return Subject(pod.of({"spec": {kind: [container], **spec}}), proxied=True)


def broken(of: Subject, *excepted: str) -> set[tuple[str, str]]:
    return {(each.control, each.field) for each in proxy_floor.violations(of, frozenset(excepted))}


@pytest.mark.parametrize(
    "good",
    [
        subject(),
        subject({**GOOD, "capabilities": {"drop": list(floor.FORBIDDEN)}}),
        subject({**GOOD, "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE", "CHOWN"]}}),
        subject({**GOOD, "runAsUser": 0}, image="x"),
        subject(image="x", securityContext={"runAsUser": 1000}),
        subject({**GOOD, "runAsUser": 1000}, kind="ephemeralContainers", image="x"),
        subject(shareProcessNamespace=False),
    ],
)
def test_good(good: Subject) -> None:
    assert broken(good) == set()


SECURITY = "spec.containers[0].securityContext"


@pytest.mark.parametrize(
    ("bad", "control", "field"),
    [
        (
            subject({"capabilities": {"drop": ["ALL"]}}),
            "proxy-privilege-escalation",
            f"{SECURITY}.allowPrivilegeEscalation",
        ),
        (
            subject({**GOOD, "allowPrivilegeEscalation": True}),
            "proxy-privilege-escalation",
            f"{SECURITY}.allowPrivilegeEscalation",
        ),
        (subject({**GOOD, "privileged": True}), "proxy-privilege-escalation", f"{SECURITY}.privileged"),
        (subject({"allowPrivilegeEscalation": False}), "proxy-capabilities", f"{SECURITY}.capabilities.drop"),
        (subject({**GOOD, "capabilities": {"drop": ["all"]}}), "proxy-capabilities", f"{SECURITY}.capabilities.drop"),
        (
            subject({**GOOD, "capabilities": {"drop": ["NET_RAW"]}}),
            "proxy-capabilities",
            f"{SECURITY}.capabilities.drop",
        ),
        *(
            (
                subject({**GOOD, "capabilities": {"drop": ["ALL"], "add": [name]}}),
                "proxy-capabilities",
                f"{SECURITY}.capabilities.add",
            )
            for name in (
                "NET_ADMIN",
                "net_admin",
                "CAP_NET_RAW",
                "cap_setuid",
                "SETGID",
                "SYS_ADMIN",
                "SYS_PTRACE",
                "BPF",
                "ALL",
                *floor.OWN_THE_NODE,
                "sys_module",
                "CAP_DAC_READ_SEARCH",
            )
        ),
        (subject(image="x:1"), "proxy-explicit-user", f"{SECURITY}.runAsUser"),
        (subject(image="X y"), "proxy-explicit-user", f"{SECURITY}.runAsUser"),
        (
            subject(kind="initContainers", image="x"),
            "proxy-explicit-user",
            "spec.initContainers[0].securityContext.runAsUser",
        ),
        (
            subject(kind="ephemeralContainers"),
            "proxy-explicit-user",
            "spec.ephemeralContainers[0].securityContext.runAsUser",
        ),
        (subject(hostUsers=False), "proxy-explicit-user", f"{SECURITY}.runAsUser"),
        (
            subject({**GOOD, "runAsUser": 1}, kind="initContainers", shareProcessNamespace=True, hostUsers=False),
            "proxy-shared-processes",
            "spec.shareProcessNamespace",
        ),
        (subject(shareProcessNamespace=True), "proxy-shared-processes", "spec.shareProcessNamespace"),
        (subject(os={"name": "windows"}), "proxy-system", "spec.os.name"),
    ],
)
def test_bad(bad: Subject, control: str, field: str) -> None:
    assert broken(bad) == {(control, field)}
    assert broken(bad, control) == set()
    assert proxy_floor.violations(bad, frozenset({"another"})) != []


def test_an_image_may_change_only_where_the_user_is_said() -> None:
    other = DIGEST.replace("0", "1")
    found = proxy_floor.changed_images(subject(image=other), subject(), frozenset())
    assert [(each.control, each.field) for each in found] == [("proxy-explicit-user", "spec.containers[0].image")]
    assert proxy_floor.changed_images(subject(image=other), subject(), frozenset({"proxy-explicit-user"})) == []
    assert proxy_floor.changed_images(subject(), subject(), frozenset()) == []
    said = {**GOOD, "runAsUser": 1000}
    assert proxy_floor.changed_images(subject(said, image=other), subject(said), frozenset()) == []


def test_every_control_is_told_apart_and_titled() -> None:
    assert len(proxy_floor.IDS) == len(proxy_floor.CONTROLS) == 5
    assert all(each.title and each.id.startswith("proxy-") for each in proxy_floor.CONTROLS)
