"""What the CA of another trust domain could do, were it trusted beside ours: the ground on which federation must stand.

No configuration of Ringfence's trusts a second one so far; here one is put into the bundle of a real Envoy by hand.
"""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from envoy.extensions.transport_sockets.tls.v3 import tls_spiffe_validator_config_pb2
from ringfence.model.ca import Slot
from ringfence.pki import encoding
from ringfence.pki.root import make_root, root_of

from tests.component import proxy_net
from tests.component.proxy_net import WEB, Identities, Net
from tests.component.test_attacks_identity import GOOD, leaf
from tests.component.test_proxy_envoy import call, config
from tests.unit.pki import material
from tests.unit.pki.material import uri
from tests.unit.policy.making import allow, caller, policy

pytestmark = pytest.mark.component

PARTNER = "partner.example"
THEIRS = f"spiffe://{PARTNER}/ns/shop/sa/web"
#: Whatever is in a certificate of theirs, nobody of ours may come of it. With both IDs, the order is what counts.
NAMES = {"theirs": [THEIRS], "ours": [GOOD], "ours, then theirs": [GOOD, THEIRS], "theirs, then ours": [THEIRS, GOOD]}


def unconstrained() -> Slot:
    """A root as most CAs make them: for any name."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, PARTNER)])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1 << 100)
        .not_valid_before(now - timedelta(hours=2))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(encoding.key_usage(sign_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return Slot(root_of(made.sign(key, hashes.SHA256())), encoding.key_pem(key))


def let_in(net: Net, svids: Identities, directory: Path, theirs: Slot) -> dict[str, list[str]]:
    """What comes of calls with certificates of theirs where web of ours may come and nobody else."""
    identity, bundle = svids.secrets("shop", "db")
    validator = tls_spiffe_validator_config_pb2.SPIFFECertValidatorConfig()
    packed = bundle.validation_context.custom_validator_config.typed_config
    assert packed.Unpack(validator)
    assert [each.name for each in validator.trust_domains] == ["cluster.local"]
    validator.trust_domains.add(name=PARTNER).trust_bundle.inline_bytes = theirs.root.certificate
    packed.Pack(validator)
    with proxy_net.running(net, config(policy(ingress=(allow("web", caller("web")),))), (identity, bundle)):
        return {what: answers(net, svids, directory, theirs, names) for what, names in NAMES.items()}


def answers(net: Net, svids: Identities, directory: Path, signer: Slot, names: Sequence[str]) -> list[str]:
    chain, key = directory / "leaf.crt", directory / "leaf.key"
    chain.write_bytes(leaf(*map(uri, names)).sign(signer))
    key.write_bytes(material.key().pem)
    shown = (str(chain), str(key), str(svids.roots_file))
    return net.call([call(WEB, 8080, shown, http=True), call(WEB, 5432, shown)])


def test_a_root_for_their_names_alone_gives_nobody_of_ours(net: Net, svids: Identities, tmp_path: Path) -> None:
    """Name constraints (RFC 5280 §4.2.1.10) on URIs, as on every root that Ringfence makes."""
    theirs = make_root(PARTNER, time.time(), 1 << 101)
    assert let_in(net, svids, tmp_path, theirs) == {what: ["denied", "denied"] for what in NAMES}


def test_a_root_for_any_name_would_give_all_of_ours(net: Net, svids: Identities, tmp_path: Path) -> None:
    """Envoy 1.40 chooses the roots by the first ID of a certificate and lets any of them be the caller.

    When this fails, Envoy has mended it, and roots without constraints need not be refused any more.
    """
    found = let_in(net, svids, tmp_path, unconstrained())
    assert found.pop("theirs, then ours") == ["allowed", "allowed"]
    assert found == {what: ["denied", "denied"] for what in found}
