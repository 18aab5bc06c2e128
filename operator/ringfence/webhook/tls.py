"""The serving certificate: taken over from its Secret into the running server, never through the file system.

A new pair is tried on the side first; one that does not fit leaves the last good one in place.
"""

import base64
import binascii
import logging
import os
import ssl
from typing import Final

from ringfence.model.errors import RingfenceError
from ringfence.model.ports import Object
from ringfence.pki import serving

_log: Final = logging.getLogger(__name__)


class Certificate:
    """The server's TLS context, whose certificate changes while it serves. New connections get the newest."""

    def __init__(self) -> None:
        self.context = new_context()
        #: When the certificate ends, in seconds since the epoch; 0 while there is none.
        self.ends = 0.0

    def take(self, secret: Object) -> bool:
        """Use the pair of a ``kubernetes.io/tls`` Secret; False, with a line in the log, when it cannot be used."""
        try:
            certificate, key = pair(secret)
            load(new_context(), certificate, key)
            ends = serving.ends(certificate)
            load(self.context, certificate, key)
        except (RingfenceError, ssl.SSLError, OSError) as error:
            _log.error("the serving certificate in Secret %s cannot be used: %s", secret["metadata"]["name"], error)
            return False
        self.ends = ends
        _log.info("serving certificate taken over", extra={"ends": int(ends)})
        return True


def new_context() -> ssl.SSLContext:
    """TLS 1.3 only: the API server has spoken it for years."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def pair(secret: Object) -> tuple[bytes, bytes]:
    """Certificate chain and key (PEM) of a Secret; raises serving.BadCertificate."""
    data = secret.get("data") or {}
    try:
        found = [base64.b64decode(data[name], validate=True) for name in ("tls.crt", "tls.key")]
    except (KeyError, TypeError, binascii.Error) as error:
        raise serving.BadCertificate("tls.crt or tls.key is missing or is not base64") from error
    return found[0], found[1]


def load(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Give a pair to a context. OpenSSL reads files only: this one is in memory and has no name."""
    descriptor = os.memfd_create("serving", os.MFD_CLOEXEC)
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(key + b"\n" + certificate)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
