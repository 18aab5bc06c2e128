"""The class of a pod is remembered, and never longer than it is true."""

from dataclasses import replace

import pytest
from ringfence.model.labels import LabelBox, one_of
from ringfence.model.mesh import Mesh, ServicePort
from ringfence.model.resources import AppliesTo, SecurityPolicy
from ringfence.proxyd.compiler import EnvoyCompiler
from ringfence.translate import envoy

from tests.unit.policy import making as policies
from tests.unit.policy.making import allow, caller, policy
from tests.unit.translate.envoy import making

POD = making.pod("api")


def known(*found: SecurityPolicy, port: str = "sql") -> Mesh:
    return making.mesh(policies.world(*found), {"shop": (making.service("api", ServicePort(port, 5432, 5432)),)})


def test_an_unchanged_pod_in_an_unchanged_namespace_is_not_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = EnvoyCompiler()
    first = compiler.subject(POD, known())
    assert first == envoy.subject(POD, known())
    monkeypatch.setattr("ringfence.proxyd.compiler.of_pod", None)
    assert compiler.subject(POD, known()) is first


def test_another_service_another_pod_and_another_question_make_another_class() -> None:
    compiler = EnvoyCompiler()
    labelled = {**POD, "metadata": {**POD["metadata"], "labels": {**POD["metadata"]["labels"], "tier": "inner"}}}
    asking = policy(
        "p",
        applies_to=AppliesTo(pod_selector=LabelBox.of({"tier": one_of("inner")})),
        ingress=(allow("x", caller("web")),),
    )
    meshes = (known(), known(port="http"), known(asking))
    for pod in (POD, labelled, {**POD, "spec": {"serviceAccountName": "web"}}):
        for mesh in meshes:
            assert compiler.subject(pod, mesh) == envoy.subject(pod, replace(mesh, kept={}))


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ringfence.proxyd.compiler._MOST", 3)
    compiler, mesh = EnvoyCompiler(), known()
    for number in range(20):
        pod = {**POD, "metadata": {**POD["metadata"], "name": f"api-{number}"}}
        compiler.subject(pod, mesh)
        assert len(compiler._known) <= 3
