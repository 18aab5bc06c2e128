"""Tokens of odd forms: signatures of nothing, times that are no times, JSON that can be read in two ways."""

import base64
import json
import time
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from ringfence.model.requests import Request
from ringfence.translate.envoy import good

from tests.component import request_rig
from tests.component.proxy_net import Identities, Net
from tests.component.test_attacks_jwt import (
    ALL,
    BAD,
    CORP,
    LET_IN,
    NOT_CONTRACTORS,
    PARTNER,
    REFUSED,
    USER,
    WITH,
    Proxy,
    asking,
    bearing,
)
from tests.component.token_rig import SKEW, Signer, part

pytestmark = pytest.mark.component

#: That of the fixture `net`.
NETWORK = request_rig.network

_ORDER_ED25519 = 2**252 + 27742317777372353535851937790883648493


def _signature(by: Signer, data: bytes) -> bytes:
    match by.algorithm:
        case "ES256":
            r, s = decode_dss_signature(by.private.sign(data, ec.ECDSA(hashes.SHA256())))
            return bytes(r.to_bytes(32, "big") + s.to_bytes(32, "big"))
        case "RS256":
            return bytes(by.private.sign(data, padding.PKCS1v15(), hashes.SHA256()))
        case _:
            return bytes(by.private.sign(data))


def signed(by: Signer, payload: Any, head: Any = None) -> str:
    """What the issuer itself has signed: values, or bytes for JSON that no library would write."""
    told = f"{part(head if head is not None else {'alg': by.algorithm, 'kid': by.kid})}.{part(payload)}"
    return f"{told}.{part(_signature(by, told.encode()))}"


def raw(by: Signer, **claims: str) -> bytes:
    """The usual payload as JSON, with claims whose values are written as they are given."""
    usual = {name: json.dumps(value) for name, value in by.payload().items()}
    return ("{" + ",".join(f'"{name}":{value}' for name, value in {**usual, **claims}.items()) + "}").encode()


def under(token: str, signature: bytes) -> str:
    """The token under another signature."""
    return f"{token.rpartition('.')[0]}.{part(signature)}"


def _parts(token: str) -> bytes:
    return base64.urlsafe_b64decode(token.rpartition(".")[2] + "==")


def _as_it_stands(payload: Any, head: dict[str, Any]) -> str:
    """The signature is over the JSON itself (RFC 7797), the token has it encoded as usual."""
    text = json.dumps(payload).encode()
    told = part({"alg": CORP.algorithm, "kid": CORP.kid, **head})
    return f"{told}.{part(text)}.{part(_signature(CORP, told.encode() + b'.' + text))}"


def unsigned() -> dict[str, tuple[str, Signer]]:
    """Signatures that are none."""
    corp, user, partner = CORP.token(), USER.token(), PARTNER.token()
    whole, told = _parts(user), _parts(corp)
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    lists, objects = b"[" * 20_000, b'{"a":' * 6_000
    more = (int.from_bytes(whole[32:], "little") + _ORDER_ED25519).to_bytes(32, "little")
    dss = CORP.private.sign(corp.rpartition(".")[0].encode(), ec.ECDSA(hashes.SHA256()))
    return {
        "of nothing but zeros": (under(corp, bytes(64)), CORP),
        "of the order of the curve": (under(corp, order.to_bytes(32, "big") * 2), CORP),
        "one and one": (under(corp, (1).to_bytes(32, "big") * 2), CORP),
        "in DER": (under(corp, dss), CORP),
        "half of it": (under(corp, told[:32]), CORP),
        "of Ed25519, the order added": (under(user, whole[:32] + more), USER),
        "of Ed25519, zeros": (under(user, bytes(64)), USER),
        "of Ed25519, the neutral point": (under(user, b"\1" + bytes(63)), USER),
        "of RSA, zeros": (under(partner, bytes(256)), PARTNER),
        "of RSA, one": (under(partner, bytes(255) + b"\1"), PARTNER),
        "of RSA, a byte behind": (under(partner, _parts(partner) + b"\0"), PARTNER),
        "five parts": (f"{corp}.{corp.partition('.')[2]}", CORP),
        "encrypted": (".".join(part(each) for each in ({"alg": "dir", "enc": "A128GCM"}, b"", b"a", b"b", b"c")), CORP),
        "as JSON": (json.dumps(dict(zip(("protected", "payload", "signature"), corp.split("."), strict=True))), CORP),
        "nested without end": (f"{part(lists)}.{part(lists)}.{part(bytes(64))}", CORP),
        "objects without end": (f"{part(objects)}.{part(objects)}.{part(bytes(64))}", CORP),
        "no object": (f"{part([])}.{part(1)}.{part(bytes(64))}", CORP),
        "no UTF-8": (f"{part(bytes(range(128, 200)))}.{part(bytes(range(128, 200)))}.{part(bytes(64))}", CORP),
    }


def critical() -> dict[str, str]:
    """Tokens whose head names extensions that must be understood, or says so in a way that is none."""
    named: dict[str, Any] = {
        "one": ["x"],
        "several": ["x", "y", "z"],
        "one that is in the head": ["kid"],
        "b64, as usual": ["b64"],
        "twice": ["x", "x"],
        "none": [],
        "null": None,
        "a text": "x",
        "an empty text": "",
        "a number": 0,
        "false": False,
        "an object": {"x": True},
        "an empty object": {},
        "a list of lists": [["x"]],
        "a list of empty lists": [[]],
        "a list of objects": [{"x": 1}],
        "a list of null": [None],
    }
    heads: dict[str, Any] = {name: {"crit": value} for name, value in named.items()}
    heads["b64, as usual"] |= {"b64": True}
    made = {name: signed(CORP, CORP.payload(), _head(each)) for name, each in heads.items()}
    escaped = json.dumps(_head({}))[:-1] + r',"\u0063rit":["x"]}'
    return {**made, "escaped": signed(CORP, CORP.payload(), escaped.encode())}


def _head(more: dict[str, Any]) -> dict[str, Any]:
    return {"alg": CORP.algorithm, "kid": CORP.kid, **more}


def odd() -> dict[str, str]:
    """What the issuer has signed, and is no good token all the same."""
    now = int(time.time())
    usual = CORP.payload()
    heads: dict[str, Any] = {
        "an algorithm in small letters": {"alg": "es256"},
        "an algorithm with a space": {"alg": "ES256 "},
        "several algorithms": {"alg": ["ES256"]},
        "another algorithm of its kind": {"alg": "ES384"},
        "another curve": {"alg": "ES256K"},
        "no algorithm": {},
        "a kid that is a number": {"alg": "ES256", "kid": 1},
        "a kid that is a list": {"alg": "ES256", "kid": [CORP.kid]},
        "a kid of SQL": {"alg": "ES256", "kid": "' UNION SELECT 'x"},
        "a kid that is a path": {"alg": "ES256", "kid": "../../../../etc/passwd"},
        "a kid with NUL": {"alg": "ES256", "kid": f"{CORP.kid}\0"},
    }
    texts = {
        "exp as text": {"exp": f'"{now + 60}"'},
        "exp true": {"exp": "true"},
        "exp null": {"exp": "null"},
        "exp in a list": {"exp": f"[{now + 60}]"},
        "exp in an object": {"exp": f'{{"a":{now + 60}}}'},
        "exp of 1e300": {"exp": "1e300"},
        "exp of 1e400": {"exp": "1e400"},
        "exp NaN": {"exp": "NaN"},
        "exp Infinity": {"exp": "Infinity"},
        "exp of 2^63": {"exp": str(2**63)},
        "exp of 2^64 and a minute": {"exp": str(2**64 + now + 60)},
        "exp of minus 2^64 and a minute": {"exp": str(now + 60 - 2**64)},
        "exp below zero": {"exp": str(-now)},
        "exp, a fraction that is over": {"exp": f"{now - SKEW - 20}.9"},
        "exp with a zero before": {"exp": f"0{now + 60}"},
        "exp in hex": {"exp": hex(now + 60)},
        "nbf as text": {"nbf": f'"{now - 60}"'},
        "nbf of 1e300": {"nbf": "1e300"},
        "nbf of 2^64": {"nbf": str(2**64)},
        "nbf in a list": {"nbf": f"[{now - 60}]"},
        "iss in a list": {"iss": json.dumps([usual["iss"]])},
        "iss in an object": {"iss": json.dumps({"a": usual["iss"]})},
        "iss with NUL": {"iss": json.dumps(usual["iss"] + "\0")},
        "aud in a list in a list": {"aud": '[["pay"]]'},
        "aud in an object": {"aud": '{"pay":true}'},
        "aud with NUL": {"aud": '"pay\\u0000"'},
        "aud of another case": {"aud": '"PAY"'},
        "aud of several words": {"aud": '"other pay"'},
        "sub that is a number": {"sub": "1"},
    }
    return {
        **{name: signed(CORP, usual, head) for name, head in heads.items()},
        **{name: signed(CORP, raw(CORP, **claims)) for name, claims in texts.items()},
        "text behind the payload": signed(CORP, raw(CORP) + b"{}"),
        "a comment": signed(CORP, b"/**/" + raw(CORP)),
        "UTF-16": signed(CORP, raw(CORP).decode().encode("utf-16")),
        "a payload that is a list": signed(CORP, b"[" + raw(CORP) + b"]"),
        "an empty payload": signed(CORP, b""),
        "signed as it stands (b64)": _as_it_stands(usual, {"b64": False}),
        "signed as it stands, and said to matter": _as_it_stands(usual, {"b64": False, "crit": ["b64"]}),
    }


def test_none_of_them_is_good_for_anything(net: Net, svids: Identities) -> None:
    tried = {**unsigned(), **{name: (token, CORP) for name, token in odd().items()}}
    requests = [bearing(token, by) for token, by in tried.values()]
    usual = [bearing(signed(by, by.payload()), by) for by in (CORP, PARTNER, USER)]
    rules = (WITH, *(asking(replace(WITH, name=f"with-{by.kid}"), by) for by in (PARTNER, USER)))
    found = Proxy(net, svids, *rules).statuses(*requests, *usual)
    assert found[-3:] == [LET_IN] * 3
    let_in = {name for name, status in zip(tried, found, strict=False) if status not in {REFUSED, BAD, 400, 431}}
    assert let_in == set()
    found = Proxy(net, svids, ALL, NOT_CONTRACTORS).statuses(*requests, bearing(CORP.token(role="staff")))
    assert found[-1] == LET_IN
    let_in = {name for name, status in zip(tried, found, strict=False) if status not in {REFUSED, BAD, 400, 431}}
    assert let_in == set()


def test_who_does_not_understand_what_must_be_understood_takes_no_such_token(net: Net, svids: Identities) -> None:
    tried = [*map(bearing, critical().values()), bearing(signed(CORP, CORP.payload(), _head({"x": ["crit"]})))]
    *found, without = Proxy(net, svids, WITH, known=(CORP,)).statuses(*tried)
    assert without == LET_IN
    assert {name for name, status in zip(critical(), found, strict=True) if status != BAD} == set()
    staff = CORP.payload() | {"role": "staff"}
    tried = [bearing(signed(CORP, staff, _head(more))) for more in ({"crit": ["x"]}, {"crit": []}, {})]
    assert Proxy(net, svids, ALL, NOT_CONTRACTORS).statuses(*tried) == [BAD, BAD, LET_IN]


def test_a_proxy_would_take_it(net: Net, svids: Identities, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is what is asked of the head that refuses it, and nothing else."""
    monkeypatch.setattr(good, "CRITICAL", "nothing")
    found = Proxy(net, svids, WITH).statuses(*map(bearing, critical().values()))
    assert set(found) == {LET_IN}


def test_of_claims_that_come_twice_the_last_counts_or_none(net: Net, svids: Identities) -> None:
    """As in what programs read JSON with; the first would let a contractor pass."""
    now = int(time.time())
    usual = raw(CORP)[:-1]
    twice = {
        "a contractor at last": usual + b',"role":"staff","role":"contractor"}',
        "a contractor at last, escaped": usual + b',"role":"staff","r\\u006fle":"contractor"}',
        "ended at last": usual + f',"role":"staff","exp":{now - 3600}}}'.encode(),
        "for others at last": usual + b',"role":"staff","aud":"other"}',
        "by others at last": usual + b',"role":"staff","iss":"https://evil.example/"}',
    }
    found = Proxy(net, svids, ALL, NOT_CONTRACTORS).statuses(*(bearing(signed(CORP, each)) for each in twice.values()))
    assert {name for name, status in zip(twice, found, strict=True) if status not in {REFUSED, BAD}} == set()


def test_a_word_before_a_token_is_that_word(net: Net, svids: Identities) -> None:
    token = CORP.token()
    forms = (
        "Bearer  {}",
        "Bearer\t{}",
        "BEARER {}",
        "bearer {}",
        "Token {}",
        "Bearer{}",
        "Bearer: {}",
        "Bearer ={}",
        '"Bearer {}"',
        "Bearer {}=",
        "Bearer {}\t.",
        "Bearer Bearer {}",
        "Bearer token={}",
        "DPoP {}",
        "Bearer {}#",
    )
    tried = [Request(headers={"authorization": (form.format(token),)}) for form in forms]
    found = Proxy(net, svids, WITH).statuses(*tried, bearing(token))
    assert found[-1] == LET_IN
    assert {form for form, status in zip(forms, found, strict=False) if status == LET_IN} == set()
