"""Identities over SDS: one key and one certificate a stream, made in memory, and the bundle that all trust.

The CA is read from its Secret as the controller keeps it; this process signs with it and never changes it. Nothing here
is stored, and no value that holds a key shows it.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from envoy.extensions.transport_sockets.tls.v3 import common_pb2, secret_pb2, tls_spiffe_validator_config_pb2
from google.protobuf import any_pb2

from ringfence.model.acknowledgements import STALE_SECONDS
from ringfence.model.ca import CaState, RotationReason
from ringfence.model.certificates import KeyAlgorithm
from ringfence.model.errors import RingfenceError
from ringfence.model.ports import Clock, Lister
from ringfence.model.proxy import SDS_BUNDLE, SDS_IDENTITY, Resource
from ringfence.model.resources import Certificate
from ringfence.model.spiffe import SpiffeId
from ringfence.pki import bundle, issue, keys, renewal, store, template, validate
from ringfence.pki.local_signer import LocalSigner
from ringfence.proxyd import wire

_log = logging.getLogger(__name__)

_VALIDATOR: Final = "envoy.tls.cert_validator.spiffe"


@dataclass(frozen=True, slots=True)
class Svid:
    """A certificate with its key, ready to be sent. ``serial`` in lower-case hex, ``root`` the fingerprint of its root;
    times in seconds since the epoch."""

    spiffe_id: str
    serial: str
    root: str
    not_after: int
    renewal_time: float
    item: wire.Item = field(repr=False)


class NoCa(RingfenceError):
    """There is no CA to sign with now; the message says why."""


class Authority:
    """The CA as this process sees it."""

    def __init__(self, secret: Lister, marker: Lister, namespace: str, trust_domain: str, clock: Clock) -> None:
        """``secret`` holds the CA's Secret, ``marker`` the ConfigMap beside it; both are in ``namespace``."""
        self._secret = secret
        self._marker = marker
        self._namespace = namespace
        self._trust_domain = trust_domain
        self._clock = clock
        self._state: CaState | None = None
        self._signer: LocalSigner | None = None
        self._bundle: wire.Item | None = None
        #: Why nothing is signed, "" while all is well.
        self.problem = "the CA has not been read yet"

    def refresh(self) -> None:
        """Look at the Secret again. What is broken stops the signing; the last good bundle stays."""
        if not (self._secret.synced and self._marker.synced):
            return  # Half of what there is would look like a CA that is gone.
        self._signer = None
        try:
            held = self._secret.get(self._namespace, store.SECRET_NAME)
            marker = self._marker.get(self._namespace, store.MARKER_NAME)
            state = store.load(held, marker, self._trust_domain, self._clock.now())
            if state is None:
                raise NoCa("there is no CA yet")
            self._signer = LocalSigner(state.current)
        except RingfenceError as error:
            if self.problem != str(error):
                _log.error("nothing is signed: %s", error)
            self.problem = str(error)
            return
        self.problem = ""
        if self._state is None or self._state.bundle != state.bundle:
            self._bundle = _bundle_item(state)
        self._state = state

    @property
    def reason(self) -> RotationReason | None:
        """Why the root is being replaced, None while it is not."""
        return self._state.reason if self._state else None

    @property
    def bundle(self) -> wire.Item | None:
        """The roots that all trust, as they are sent; None before there was any."""
        return self._bundle

    @property
    def root(self) -> str:
        """Fingerprint of the root that signs now; "" while none does."""
        return self._signer.root.fingerprint if self._signer else ""

    def signer(self) -> tuple[LocalSigner, CaState]:
        """Who signs now. Raises NoCa."""
        if self._signer is None or self._state is None:
            raise NoCa(self.problem)
        stale = self._secret.stale_for(self._clock.monotonic())
        if stale > STALE_SECONDS:
            raise NoCa(f"the CA's Secret has not been heard of for {stale:.0f} s")
        return self._signer, self._state


class Issuer:
    """Makes SVIDs."""

    def __init__(
        self,
        authority: Authority,
        clock: Clock,
        serial: Callable[[], int],
        max_ttl: int,
        *,
        make_key: keys.KeyMaker = keys.generate,
    ) -> None:
        """``serial`` draws positive random numbers of 64 to 159 bits, ``max_ttl`` is the longest life in seconds."""
        self._authority = authority
        self._clock = clock
        self._serial = serial
        self._max_ttl = max_ttl
        self._make_key = make_key

    def issue(self, spiffe_id: SpiffeId, wishes: Certificate) -> Svid:
        """A new key and its certificate, judged before it is handed out. Raises RingfenceError."""
        signer, state = self._authority.signer()
        now = self._clock.now()
        leaf = template.leaf(
            spiffe_id,
            (),
            ttl=min(wishes.ttl, self._max_ttl),
            now=now,
            serial=self._serial(),
            issuer_ends=state.current.root.not_after,
        )
        key = self._make_key(KeyAlgorithm.ECDSA_P256)
        chain = signer.sign_now(leaf, key.public_der)
        validate.check(chain, issue.expectation(leaf, key.public_der, state.bundle, now))
        serial = f"{leaf.serial:x}"
        return Svid(
            spiffe_id=str(spiffe_id),
            serial=serial,
            root=signer.root.fingerprint,
            not_after=leaf.not_after,
            renewal_time=renewal.renew_at(now, leaf.not_after, wishes.renew_at, renewal.jitter_of(leaf.serial)),
            item=_identity_item(serial, chain, key.pem),
        )


def _identity_item(serial: str, chain: bytes, key: bytes) -> wire.Item:
    certificate = common_pb2.TlsCertificate()
    certificate.certificate_chain.inline_bytes = chain
    certificate.private_key.inline_bytes = key
    return _item(secret_pb2.Secret(name=SDS_IDENTITY, tls_certificate=certificate), serial)


def _bundle_item(state: CaState) -> wire.Item:
    """Roots by trust domain, so that none can vouch for another's identities."""
    validator = tls_spiffe_validator_config_pb2.SPIFFECertValidatorConfig()
    domain = validator.trust_domains.add(name=state.trust_domain)
    domain.trust_bundle.inline_bytes = state.bundle
    config = any_pb2.Any()
    config.Pack(validator, deterministic=True)
    context = common_pb2.CertificateValidationContext()
    context.custom_validator_config.name = _VALIDATOR
    context.custom_validator_config.typed_config.CopyFrom(config)
    return _item(secret_pb2.Secret(name=SDS_BUNDLE, validation_context=context), bundle.digest(state.bundle))


def _item(secret: secret_pb2.Secret, version: str) -> wire.Item:
    body = any_pb2.Any()
    body.Pack(secret, deterministic=True)
    return wire.item(Resource(secret.name, version, body.SerializeToString(deterministic=True)))
