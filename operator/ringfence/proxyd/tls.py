"""The server's certificate: taken over from its Secret, used from the next connection on."""

import asyncio
import base64
import binascii
import logging
import threading

import grpc

from ringfence.model.errors import RingfenceError
from ringfence.model.ports import Object
from ringfence.pki import encoding, serving
from ringfence.proxyd import TLS_1_3_ONLY

_log = logging.getLogger(__name__)


class Certificate:
    """The pair that new connections get. ``take`` runs in the event loop, gRPC asks from threads of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fresh: grpc.ServerCertificateConfiguration | None = None
        self._there = asyncio.Event()
        #: When the certificate ends, in seconds since the epoch; 0 while there is none.
        self.ends = 0.0

    def take(self, secret: Object) -> bool:
        """Use the pair of a ``kubernetes.io/tls`` Secret; False, with a line in the log, when it cannot be used."""
        name = secret["metadata"]["name"]
        try:
            pair = _pair(secret)
            ends = serving.ends(pair.certificate)
        except RingfenceError as error:
            _log.error("the serving certificate in Secret %s cannot be used: %s", name, error)
            return False
        made = grpc.ssl_server_certificate_configuration([(pair.key, pair.certificate)])
        with self._lock:
            self._fresh = made
        self.ends = ends
        self._there.set()
        _log.info("serving certificate taken over", extra={"ends": int(ends)})
        return True

    async def there(self) -> None:
        """Return once there is a certificate."""
        await self._there.wait()

    def credentials(self) -> grpc.ServerCredentials:
        """For the server; raises RuntimeError while there is no certificate."""
        if not TLS_1_3_ONLY:
            raise RuntimeError("gRPC was loaded before it was told to speak TLS 1.3 only")
        configuration = self._changed()
        if configuration is None:
            raise RuntimeError("there is no serving certificate yet")
        return grpc.dynamic_ssl_server_credentials(configuration, self._changed)

    def _changed(self) -> grpc.ServerCertificateConfiguration | None:
        """What gRPC asks at each handshake: another certificate, None for the same.

        A configuration becomes gRPC's when it gets it, and is freed there: handing one out twice ends the process.
        """
        with self._lock:
            fresh, self._fresh = self._fresh, None
            return fresh


def _pair(secret: Object) -> serving.Pair:
    """Certificate and key of a Secret, which belong together; raises BadCertificate."""
    data = secret.get("data") or {}
    try:
        certificate, key = (base64.b64decode(data[name], validate=True) for name in ("tls.crt", "tls.key"))
    except (KeyError, TypeError, binascii.Error) as error:
        raise serving.BadCertificate("tls.crt or tls.key is missing or is not base64") from error
    if encoding.private_key(key).public_key() != encoding.certificate(certificate).public_key():
        raise serving.BadCertificate("the private key is not the one of the certificate")
    return serving.Pair(certificate, key)
