"""Where proxies fetch an issuer's keys, and by which roots they tell who serves them there: read strictly.

Proxies take the roots as they are written here, so that what they could not load, and refuse all else with, is refused.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from ringfence.api.schema import Complaint, Rule, Text
from ringfence.api.v1alpha1 import identifiers
from ringfence.model.tokens import served_at

MAX_URI: Final = 512
MAX_ROOTS: Final = 16
MAX_BUNDLE: Final = 16 * 1024
_RSA_BITS: Final = (2048, 8192)
_CURVES: Final = ("secp256r1", "secp384r1", "secp521r1")
_MAX_HOST, _MAX_PORT = 253, 65535
#: Of a path (RFC 3986 section 3.3) and of a query; what else there may be is escaped.
_CHAR: Final = "[A-Za-z0-9._~!$&'()*+,;=:@%/-]"


def _misread(text: str) -> str:
    if text.startswith("http://"):
        return "write https://: keys that anybody on the way can change are none"
    if "#" in text:
        return "leave # and what follows out"
    if "@" in text.partition("?")[0]:
        return "leave out what stands before @: secrets do not belong into policies"
    if re.match(r"https://(\[|[0-9.]+(:[0-9]+)?(/|$))", text):
        return "name the host, not its address: certificates are for names"
    return ""


def _place(text: str) -> Complaint | None:
    """What the pattern cannot count. The port first: it may be no number that there is."""
    port = text.removeprefix("https://").partition("/")[0].partition(":")[2]
    if port and int(port) > _MAX_PORT:
        return Complaint(f"has the port {port}", f"give one of 1 to {_MAX_PORT}")
    host, _ = served_at(text)
    if len(host) > _MAX_HOST:
        return Complaint(f"has a host of {len(host)} characters", f"at most {_MAX_HOST} are allowed")
    return None


URI: Final = Text(
    description=(
        "Where proxies fetch its public keys: the issuer's jwks_uri, https and a host by its name, which"
        " network.jwksHosts of the chart lists. The certificate there must be for that name. Only global addresses are"
        " called, and those that network.hostOpenCIDRs lists; redirects are not followed. Until there are keys no token"
        " is good. Symmetric keys do not count. Give this or jwks."
    ),
    pattern=(
        rf"^https://({identifiers.HOST_LABEL}\.)+{identifiers.LAST_LABEL}(:[1-9][0-9]{{0,4}})?/{_CHAR}*(\?({_CHAR}|\?)*)?$"
    ),
    what="an address such as https://login.corp.example/keys, the host a name in lower case",
    max_length=MAX_URI,
    misread=_misread,
    rules=(Rule(test=_place),),
)


class _Bad(Exception):
    """What is wrong with the roots, and what to do."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.complaint = Complaint(message, fix)


def _bundle(text: str) -> Complaint | None:
    try:
        _roots(text)
    except _Bad as error:
        return error.complaint
    return None


def _roots(text: str) -> list[x509.Certificate]:
    if "PRIVATE KEY" in text:
        raise _Bad("holds a private key", "replace the key wherever it is used, and give certificates only")
    try:
        found = x509.load_pem_x509_certificates(text.encode())
    except ValueError as error:
        raise _Bad("holds no certificates in PEM", "paste the roots, -----BEGIN CERTIFICATE----- and all") from error
    if len(found) > MAX_ROOTS:
        raise _Bad(f"holds {len(found)} certificates", f"at most {MAX_ROOTS} are allowed")
    for number, each in enumerate(found, start=1):
        _root(each, f"certificate {number}")
    return found


def _root(root: x509.Certificate, which: str) -> None:
    try:
        key = root.public_key()
        constraints = root.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _Bad(f"{which} cannot be read", "give roots with RSA or EC keys") from error
    except x509.ExtensionNotFound as error:
        raise _Bad(f"{which} is not one that signs others", "give the root, not what it has signed") from error
    if not constraints.ca:
        raise _Bad(f"{which} is not one that signs others", "give the root, not what it has signed")
    least, most = _RSA_BITS
    strong = isinstance(key, rsa.RSAPublicKey) and least <= key.key_size <= most
    if not strong and not (isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES):
        raise _Bad(
            f"{which} has a key that proxies do not take", f"RSA of {least} to {most} bits, P-256, P-384 or P-521"
        )


def roots(text: str) -> str:
    """The same certificates in one way, sorted and each once; of a text about which there is no complaint."""
    return "".join(sorted({each.public_bytes(Encoding.PEM).decode() for each in _roots(text)}))


CA_BUNDLE: Final = Text(
    description=(
        "The roots, certificates in PEM, that sign for whoever serves the keys at jwksUri. Default: those that the"
        " proxy's image holds."
    ),
    pattern=r"^[\x{0009}\x{000a}\x{000d} -~]*$",
    what="certificates in PEM",
    max_length=MAX_BUNDLE,
    rules=(Rule(test=_bundle),),
)


def _roots_of_something(value: Mapping[str, Any]) -> Complaint | None:
    if "caBundle" not in value or "jwksUri" in value:
        return None
    return Complaint("has roots, and fetches nothing", "leave caBundle out, or give jwksUri", at="caBundle")


#: Of an issuer as a whole.
ROOTS_OF_SOMETHING: Final = Rule(
    test=_roots_of_something,
    cel="!has(self.caBundle) || has(self.jwksUri)",
    message="caBundle is for jwksUri, which is not there",
)
