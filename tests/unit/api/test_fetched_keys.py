"""Where keys are fetched: https, a host by its name, and roots that proxies can load."""

import pytest
from ringfence import api
from ringfence.api.v1alpha1 import tokens
from ringfence.model.errors import InvalidResource
from ringfence.model.resources import ClusterSecurityPolicy
from ringfence.model.tokens import Issuer, served_at

from tests.unit.api.corpus_making import NO_ROOT, NOTHING, ROOT, Object, fetched, issuer


def said(obj: Object) -> str:
    with pytest.raises(InvalidResource) as found:
        api.parse(obj)
    (error,) = found.value.errors
    assert str(error).startswith("spec.jwtIssuers[0]")
    return str(error).removeprefix("spec.jwtIssuers[0]")


def parsed(obj: Object) -> Issuer:
    found = api.parse(obj)
    assert isinstance(found, ClusterSecurityPolicy)
    (one,) = found.spec.issuers
    return one


def test_an_address_stands_for_keys() -> None:
    found = parsed(fetched())
    assert found.fetched
    assert (found.jwks, found.jwks_uri, found.ca_bundle) == ("", "https://login.corp.example/keys", "")
    assert not parsed(issuer()).fetched


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("https://login.corp.example/keys", ("login.corp.example", 443)),
        ("https://login.corp.example:8443/", ("login.corp.example", 8443)),
        ("https://a.b-c.1x/?a:b", ("a.b-c.1x", 443)),
    ],
)
def test_the_place_is_host_and_port(uri: str, place: tuple[str, int]) -> None:
    assert served_at(parsed(fetched(uri)).jwks_uri) == place


def test_the_same_roots_are_the_same_text() -> None:
    one = parsed(fetched(caBundle=ROOT)).ca_bundle
    assert one == ROOT
    assert parsed(fetched(caBundle=f"by hand\n\n{ROOT}\n{ROOT}")).ca_bundle == one


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("http://corp.example/keys", "write https://"),
        ("https://corp.example/keys#one", "leave # and what follows out"),
        ("https://me:secret@corp.example/keys", "leave out what stands before @"),
        ("https://192.0.2.1/keys", "name the host, not its address"),
        ("https://[::1]:443/keys", "name the host, not its address"),
        ("https://Corp.example/keys", "the host a name in lower case"),
        ("https://localhost/keys", "the host a name in lower case"),
        ("https://corp.example:99999/keys", "give one of 1 to 65535"),
        (f"https://{'.'.join(['a' * 63] * 4)}.example/keys", "has a host of 263 characters"),
    ],
)
def test_other_addresses_are_refused(uri: str, words: str) -> None:
    message = said(fetched(uri))
    assert message.startswith(".jwksUri: ")
    assert words in message


def test_one_of_both_and_no_more() -> None:
    assert "an issuer has jwks and jwksUri (give one of them)" in said(issuer(jwksUri="https://corp.example/keys"))
    assert "an issuer says nothing (give one of jwks, jwksUri)" in said(issuer(jwks=NOTHING))
    assert (
        said(issuer(caBundle=ROOT)) == ".caBundle: has roots, and fetches nothing (leave caBundle out, or give jwksUri)"
    )


@pytest.mark.parametrize(
    ("bundle", "words"),
    [
        ("roots", "holds no certificates in PEM"),
        (ROOT.replace("CERTIFICATE", "PUBLIC KEY"), "holds no certificates in PEM"),
        (f"{ROOT}-----BEGIN EC PRIVATE KEY-----", "holds a private key"),
        (NO_ROOT, "certificate 1 is not one that signs others"),
        (ROOT + NO_ROOT, "certificate 2 is not one that signs others"),
        (ROOT * 17, "holds 17 certificates"),
    ],
)
def test_what_is_no_root_is_refused(bundle: str, words: str) -> None:
    message = said(fetched(caBundle=bundle))
    assert message.startswith(".caBundle: ")
    assert words in message
    assert "MII" not in message


@pytest.mark.parametrize(
    ("name", "words"), [("jwksURI", "write jwksUri"), ("remoteJwks", "write jwksUri, the address")]
)
def test_other_words_for_it_are_known(name: str, words: str) -> None:
    with pytest.raises(InvalidResource) as found:
        api.parse(issuer(**{name: "https://corp.example/keys"}))
    assert words in str(found.value)


def test_there_is_room_for_sixteen_roots() -> None:
    assert len(ROOT) * 16 < tokens.fetched_keys.MAX_BUNDLE
