"""The right to Secrets: one role, to one account, in one namespace."""

from typing import Any

import pytest
from ringfence.reconcile import secret_access

from tests.unit.reconcile import fakes
from tests.unit.reconcile.certificate_rig import OWN, run

WANTED = secret_access.binding("shop", OWN)
ADMIN = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
MORE = [*WANTED["subjects"], {"kind": "ServiceAccount", "name": "default", "namespace": "shop"}]


@pytest.mark.parametrize(
    ("held", "verbs"),
    [
        (None, ["apply"]),
        (WANTED, []),
        ({**WANTED, "subjects": MORE}, ["delete", "apply"]),
        ({**WANTED, "subjects": None}, ["delete", "apply"]),
        ({**WANTED, "roleRef": ADMIN}, ["delete", "apply"]),
    ],
    ids=["none", "as it shall be", "somebody else too", "nobody", "another role"],
)
def test_the_binding_binds_what_it_shall_and_nothing_else(held: dict[str, Any] | None, verbs: list[str]) -> None:
    cluster = fakes.FakeCluster()
    if held is not None:
        cluster.put(held)
    name = secret_access.SECRETS_BINDING
    run(secret_access.ensure(fakes.means(cluster), "shop", OWN, cluster.find("RoleBinding", "shop", name)))
    assert [verb for verb, *_ in cluster.writes] == verbs
    found = cluster.find("RoleBinding", "shop", name)
    assert found is not None
    assert found["roleRef"] == {**ADMIN, "name": "ringfence-secrets"}
    assert found["subjects"] == [{"kind": "ServiceAccount", "name": "ringfence-controller", "namespace": OWN}]
