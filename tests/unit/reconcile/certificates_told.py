"""A namespace with an identity, and what its certificates say."""

import base64
from typing import Any

from cryptography import x509
from ringfence.model.world import Workload
from ringfence.reconcile.certificates import Certified

from tests.unit.reconcile.certificate_rig import Rig

SECRET = ("Secret", "payments-identity")


def shop(*, served: str = "") -> Rig:
    rig = Rig(served)
    rig.install()
    rig.enrol()
    return rig


def reason(certified: Certified, name: str = "payments") -> tuple[bool, str]:
    condition = certified.told[name].condition
    assert condition is not None
    return condition.status, condition.reason


def message(certified: Certified, name: str = "payments") -> str:
    condition = certified.told[name].condition
    assert condition is not None
    return condition.message


def leaf(secret: dict[str, Any]) -> x509.Certificate:
    return x509.load_pem_x509_certificate(base64.b64decode(secret["data"]["tls.crt"]))


def dns_names(secret: dict[str, Any]) -> list[str]:
    names = leaf(secret).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.DNSName)


def service(name: str, **selector: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "shop"}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"selector": selector}}


POD = Workload("shop", "payments-0", "payments", {"app": "pay"})
