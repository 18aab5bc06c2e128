"""Trust bundles are sets that are always written in the same order."""

import itertools

import pytest
from ringfence.pki import bundle
from ringfence.pki.encoding import BadCertificate

from tests.unit.pki.material import root

PEMS = [root(number).root.certificate for number in (1, 2, 3)]
PRINTS = tuple(sorted(root(number).root.fingerprint for number in (1, 2, 3)))
BROKEN = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


def test_every_order_gives_the_same_bytes() -> None:
    written = {bundle.join(*order) for order in itertools.permutations(PEMS)} | {bundle.join(*PEMS, *PEMS)}
    assert len(written) == 1
    assert bundle.fingerprints(written.pop()) == PRINTS


def test_sets_are_compared() -> None:
    one, two, three = PEMS
    assert bundle.same(one + two, two + b"\n# a remark\n" + one)
    assert not bundle.same(one + two, one)
    assert bundle.carries(one + two + three, two)
    assert not bundle.carries(one, one + two)
    assert not bundle.carries(b"", one)


def test_what_cannot_be_read_is_the_same_as_nothing() -> None:
    assert not bundle.same(BROKEN, BROKEN)
    assert not bundle.carries(BROKEN, PEMS[0])
    with pytest.raises(BadCertificate):
        bundle.join(BROKEN)
