"""The configuration server of the proxies: policies and identities over one ADS stream a proxy.

gRPC reads its environment once, when it is first imported, which only modules of this package do: so it is set here. It
has no setting for the lowest version of TLS, only for the ciphers of 1.2. The one named needs an RSA key, and ours are
ECDSA, so nothing of 1.2 is left to agree on.
"""

import os
import sys

#: Whether what is set below came in time.
TLS_1_3_ONLY = "grpc" not in sys.modules

os.environ["GRPC_SSL_CIPHER_SUITES"] = "ECDHE-RSA-AES256-GCM-SHA384"
# Every handshake that fails would be a line of its own, in a form of its own.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
