"""Which images a rule covers, which signer is meant, and what makes two rules the same question."""

from dataclasses import replace

import pytest
from ringfence.model.signatures import SignatureRule, Signer


@pytest.mark.parametrize(
    ("pattern", "repository", "covered"),
    [
        ("*", "registry.example/shop/app", True),
        ("registry.example/*", "registry.example/shop/app", True),
        ("registry.example/*", "registry.example.evil/shop/app", False),
        ("registry.example/*", "registry.example:5000/shop/app", False),
        ("registry.example/shop/*", "registry.example/shop/app", True),
        ("registry.example/shop/*", "registry.example/shop", False),
        ("registry.example/shop/*", "registry.example/shopping/app", False),
        ("registry.example/shop/app", "registry.example/shop/app", True),
        ("registry.example/shop/app", "registry.example/shop/app/more", False),
    ],
)
def test_patterns(pattern: str, repository: str, covered: bool) -> None:
    assert SignatureRule("r", (pattern,)).covers(repository) is covered
    assert SignatureRule("r", ("other.example/x", pattern)).covers(repository) is covered


@pytest.mark.parametrize(
    ("written", "identity", "meant"),
    [
        ("a@corp.example", "a@corp.example", True),
        ("a@corp.example", "A@corp.example", False),
        ("https://code.example/shop/*", "https://code.example/shop/app", True),
        ("https://code.example/shop/*", "https://code.example/shop/", False),
        ("https://code.example/shop/*", "https://code.example/shopping/app", False),
        ("https://code.example/a@*", "https://code.example/a@refs/heads/main", True),
        ("https://code.example/a*", "https://code.example/ab", False),
    ],
)
def test_signers(written: str, identity: str, meant: bool) -> None:
    assert Signer("https://token.example", written).is_named(identity) is meant


def test_a_fingerprint_is_of_what_is_asked_and_of_nothing_else() -> None:
    one = SignatureRule("one", ("a.example/*",), keys=("key 1", "key 2"))
    assert one.fingerprint == SignatureRule("two", ("*",), keys=("key 2", "key 1\n")).fingerprint
    signer = SignatureRule("one", ("*",), keyless=(Signer("i", "j"),))
    prints = {
        one.fingerprint,
        replace(one, keys=("key 1",)).fingerprint,
        replace(one, keys=("key 1key 2",)).fingerprint,
        signer.fingerprint,
        replace(signer, keyless=(Signer("ij", ""),)).fingerprint,
        replace(signer, keyless=(Signer("j", "i"),)).fingerprint,
    }
    assert len(prints) == 6
