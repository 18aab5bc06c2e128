"""Addresses from which no keys of issuers are fetched, whatever the platform lists."""

from tests.unit.api.corpus_making import Object, fetched

ADDRESSES: dict[str, Object] = {
    "issuer: an address that is null": fetched(None),
    "issuer: an address in the clear": fetched("http://corp.example/keys"),
    "issuer: an address of another kind": fetched("file:///etc/passwd"),
    "issuer: an address without a scheme": fetched("//corp.example/keys"),
    "issuer: an address without a path": fetched("https://corp.example"),
    "issuer: an address that is an IP address": fetched("https://192.0.2.1/keys"),
    "issuer: an address that is an IPv6 address": fetched("https://[2001:db8::1]/keys"),
    "issuer: an address that is a number": fetched("https://3221225985/keys"),
    "issuer: an address that is a number in another way": fetched("https://0xc0.0x0.2.1/keys"),
    "issuer: an address with a user": fetched("https://corp.example@evil.example/keys"),
    "issuer: an address with a password": fetched("https://a:b@corp.example/keys"),
    "issuer: an address with a fragment": fetched("https://corp.example/keys#a"),
    "issuer: an address in capitals": fetched("https://Corp.example/keys"),
    "issuer: an address with a dot at the end of the host": fetched("https://corp.example./keys"),
    "issuer: an address of one label": fetched("https://localhost/keys"),
    "issuer: an address of any host": fetched("https://*.corp.example/keys"),
    "issuer: an address with a line end": fetched("https://corp.example/keys\n"),
    "issuer: an address with a space": fetched("https://corp.example/a b"),
    "issuer: an address with a backslash": fetched("https://corp.example\\@evil.example/"),
    "issuer: an address at no port": fetched("https://corp.example:0/keys"),
    "issuer: an address at a port that is none": fetched("https://corp.example:/keys"),
    "issuer: an address without end": fetched("https://corp.example/" + "a" * 500),
}
