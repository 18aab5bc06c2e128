"""Certificates of random names, lives and clocks: what is issued is accepted by all judges, what is odd is refused."""

import asyncio
import os
from dataclasses import replace

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st
from ringfence.model.ca import CaState
from ringfence.model.certificates import LeafTemplate
from ringfence.model.spiffe import SpiffeId
from ringfence.pki import dns, identity_secret, renewal, template, validate
from ringfence.pki.encoding import Pair
from ringfence.pki.identity_secret import Action, Wish
from ringfence.pki.issue import expectation, issue
from ringfence.pki.local_signer import LocalSigner
from spiffe import SpiffeId as TheirSpiffeId
from spiffe import X509Svid
from spiffe.errors import PySpiffeError

from tests.unit.pki.material import DAY, NOW, TRUST_DOMAIN, Forgery, idle, key, openssl_verify, root, uri

EXAMPLES = int(os.environ.get("RINGFENCE_EXAMPLES", "100"))
CA: CaState = idle()
SIGNER = LocalSigner(root())

labels = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
accounts = st.lists(labels, min_size=1, max_size=4).map(".".join)
domains = st.lists(labels, min_size=1, max_size=5).map(".".join).filter(lambda name: dns.problem(name) is None)
identities = st.builds(lambda ns, name: SpiffeId.of_service_account(TRUST_DOMAIN, ns, name), labels, accounts)
ttls = st.integers(template.MIN_TTL, template.MAX_TTL)
serials = st.integers(1 << 63, (1 << 159) - 1)
#: Moments of the root's life in which a whole leaf still fits.
moments = st.integers(root().root.not_before + 300, root().root.not_after - DAY)
wishes = st.builds(
    Wish,
    namespace=st.just("shop"),
    name=labels,
    uid=st.just("uid"),
    secret_name=labels,
    spiffe_id=identities,
    dns_names=st.lists(domains, max_size=8, unique=True).map(lambda names: tuple(sorted(names))),
    ttl=ttls,
    renew_at=st.floats(0.1, 0.9),
)


def made(wish: Wish, now: int, serial: int) -> tuple[LeafTemplate, Pair]:
    asked = identity_secret.leaf_template(wish, CA, now, serial)
    return asked, asyncio.run(issue(asked, key(), SIGNER, CA.bundle, now))


@given(wishes, moments, serials)
def test_what_is_issued_is_what_was_asked_for(wish: Wish, now: int, serial: int) -> None:
    _, pair = made(wish, now, serial)
    svid = X509Svid.parse(pair.certificate, pair.key)
    assert str(svid.spiffe_id) == str(wish.spiffe_id)
    names = svid.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert tuple(names.get_values_for_type(x509.DNSName)) == wish.dns_names
    assert svid.leaf.not_valid_after_utc.timestamp() == now + wish.ttl


@settings(max_examples=max(5, EXAMPLES // 8))
@given(wishes, moments, serials)
def test_openssl_accepts_it_during_its_life_and_no_longer(wish: Wish, now: int, serial: int) -> None:
    asked, pair = made(wish, now, serial)
    for at in (asked.not_before, now, asked.not_after - 1):
        assert openssl_verify(pair.certificate, CA.bundle, at=at, purpose="sslclient") == ""
    for at in (asked.not_before - 1, asked.not_after):
        assert openssl_verify(pair.certificate, CA.bundle, at=at) != ""


@given(wishes, wishes, moments, serials)
def test_the_certificate_of_one_wish_passes_for_no_other(one: Wish, other: Wish, now: int, serial: int) -> None:
    asked, pair = made(one, now, serial)
    wanted = replace(asked, spiffe_id=other.spiffe_id, dns_names=other.dns_names)
    found = validate.mismatches(pair.certificate, expectation(wanted, key().public_der, CA.bundle, now))
    assert bool(found) == ((one.spiffe_id, one.dns_names) != (other.spiffe_id, other.dns_names))


@given(wishes, moments, serials)
def test_a_stored_certificate_is_renewed_once_and_in_time(wish: Wish, now: int, serial: int) -> None:
    asked, pair = made(wish, now, serial)
    secret = identity_secret.desired(wish, pair, CA.bundle)
    found = identity_secret.decide(secret, wish, CA, now)
    assert found.action is Action.KEEP
    assert found.again_at is not None
    share = (found.again_at - now) / wish.ttl
    assert 0.9 * wish.renew_at - 1e-6 <= share <= 1.1 * wish.renew_at + 1e-6
    assert now < found.again_at < asked.not_after
    assert identity_secret.decide(secret, wish, CA, found.again_at - 0.01).action is Action.KEEP
    assert identity_secret.decide(secret, wish, CA, found.again_at).action is Action.ISSUE


@given(wishes, moments, serials, st.integers(-10 * DAY, 10 * DAY))
def test_a_clock_that_is_off_by_days_never_keeps_what_is_not_valid(wish: Wish, now: int, serial: int, off: int) -> None:
    asked, pair = made(wish, now, serial)
    found = identity_secret.decide(identity_secret.desired(wish, pair, CA.bundle), wish, CA, now + off)
    if not asked.not_before <= now + off < asked.not_after:
        assert found.action is Action.ISSUE
    assert found.action in {Action.KEEP, Action.ISSUE}


uris = st.one_of(
    st.text(st.characters(max_codepoint=127), max_size=60).map(lambda tail: f"spiffe://{TRUST_DOMAIN}{tail}"),
    st.text(st.sampled_from("abcNS/.-_%:@?#\n\x00 \\spife"), max_size=40).map(lambda text: f"spiffe://{text}"),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40),
)


@given(uris)
def test_no_odd_text_passes_for_an_identity(text: str) -> None:
    """Whatever URI a certificate of our own root carries, it passes only where it is exactly the identity asked for."""
    try:
        chain = Forgery(names=(uri(text),)).sign()
    except ValueError:
        return  # not even ASN.1 can hold it
    asked = LeafTemplate(
        SpiffeId(TRUST_DOMAIN, text.removeprefix(f"spiffe://{TRUST_DOMAIN}")), (), NOW - 300, NOW + 4 * 3600, 1
    )
    found = validate.mismatches(chain, expectation(asked, key().public_der, CA.bundle, NOW))
    other = replace(asked, spiffe_id=SpiffeId(TRUST_DOMAIN, "/ns/shop/sa/payments"))
    assert text == str(other.spiffe_id) or validate.mismatches(
        chain, expectation(other, key().public_der, CA.bundle, NOW)
    )
    if not found:
        # What we take for right is an identity to SPIFFE's own parser as well.
        assert str(TheirSpiffeId(text)) == text


@given(uris)
def test_what_our_parser_accepts_spiffe_accepts(text: str) -> None:
    try:
        ours = SpiffeId.parse(text)
    except ValueError:
        return
    assert str(ours) == text
    assert str(TheirSpiffeId(text)) == text
    assert "\n" not in text


@given(st.text(st.sampled_from("abz019-._*\n\x00A "), max_size=30))
def test_names_that_are_refused_reach_no_template(name: str) -> None:
    wish = Wish("shop", "x", "uid", "x", SpiffeId.of_service_account(TRUST_DOMAIN, "shop", "x"), (name,))
    if dns.problem(name) is None:
        assert identity_secret.leaf_template(wish, CA, NOW, 1).dns_names == (name,)
    else:
        with pytest.raises(template.InvalidTemplate):
            identity_secret.leaf_template(wish, CA, NOW, 1)


@given(st.floats(0.01, 0.99), st.floats(-1, 1), st.floats(0, 4e9), st.floats(1, 1e8))
def test_renewal_is_always_within_the_life(share: float, jitter: float, begin: float, life: float) -> None:
    moment = renewal.renew_at(begin, begin + life, share, jitter)
    assert begin < moment < begin + life


@given(st.integers(1, 2**159 - 1))
def test_jitter_is_in_range_for_every_serial_number(serial: int) -> None:
    assert -1 <= renewal.jitter_of(serial) < 1


@given(domains)
def test_a_grant_of_a_suffix_covers_one_label_only(name: str) -> None:
    assert dns.covers(f"*.{name}", f"a.{name}")
    assert not dns.covers(f"*.{name}", f"a.b.{name}")
    assert not dns.covers(f"*.{name}", name)
    assert not dns.covers(f"*.{name}", f"a{name}")


def test_py_spiffe_can_refuse() -> None:
    with pytest.raises(PySpiffeError):
        TheirSpiffeId("http://mesh.example/x")
