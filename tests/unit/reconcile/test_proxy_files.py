"""What proxies find in the trust bundle of their namespace."""

import base64
import json
from typing import Any

from ringfence.model import proxy
from ringfence.pki import serving
from ringfence.reconcile import proxy_files

from tests.unit.pki import material
from tests.unit.reconcile import fakes
from tests.unit.reconcile.certificate_rig import Rig

OWN = "ringfence-system"
NOW = float(material.NOW)


def secret(name: str, **data: bytes) -> dict[str, Any]:
    encoded = {key.replace("_", "."): base64.b64encode(value).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": OWN}, "data": encoded}


def data(*secrets: dict[str, Any]) -> dict[str, str]:
    cluster = fakes.FakeCluster()
    cluster.put(*secrets)
    held = cluster.lister("Secret")
    return dict(proxy_files.data(held, held, OWN, NOW))


def test_without_a_serving_ca_there_is_nothing_and_pods_wait() -> None:
    assert data() == {}
    assert data(secret("ringfence-serving-ca", tls_crt=b"broken")) == {}


def test_every_file_that_a_pod_mounts_is_there() -> None:
    root = serving.make_ca(NOW, 7)
    found = data(secret("ringfence-serving-ca", tls_crt=root.certificate, tls_key=root.key))
    assert sorted(found) == sorted(key for key, _ in proxy.BUNDLE_FILES)
    assert found["proxyd-ca.crt"].encode() == root.certificate
    assert root.key.decode() not in "".join(found.values())
    named = json.loads(found["sds-token.json"])["resources"][0]
    assert named["generic_secret"]["secret"]["filename"] == f"{proxy.MOUNT}/token"


def test_old_and_new_roots_are_trusted_while_they_overlap() -> None:
    new, old, served = (serving.make_ca(NOW, serial) for serial in (7, 8, 9))
    ca = secret("ringfence-serving-ca", tls_crt=new.certificate, previous_crt=old.certificate)
    found = data(ca, secret("ringfence-webhook-tls", ca_crt=served.certificate))["proxyd-ca.crt"].encode()
    assert found.count(b"BEGIN CERTIFICATE") == 3
    for each in (new, old, served):
        assert each.certificate.strip() in found


def test_the_trust_bundle_of_a_namespace_carries_it() -> None:
    rig = Rig()
    rig.install()
    rig.enrol()
    rig.certificates._for_proxies = lambda: {"proxyd-ca.crt": "roots"}
    rig.certify(rig.want())
    bundle = rig.cluster.find("ConfigMap", "shop", "ringfence-trust-bundle")
    assert bundle is not None
    assert bundle["data"].keys() == {"ca.crt", "proxyd-ca.crt"}
    rig.certificates._for_proxies = lambda: {"proxyd-ca.crt": "others"}
    rig.certify(rig.want())
    bundle = rig.cluster.find("ConfigMap", "shop", "ringfence-trust-bundle")
    assert bundle is not None
    assert bundle["data"]["proxyd-ca.crt"] == "others"
