"""What holds for sessions into proxies: nobody opens one.

A program that runs in the proxy's container runs as the proxy's user, which the redirect lets past, and reads the token
by which proxyd hands over the pod's certificate with its key. The webhook is asked about sessions only where a policy
closes them, so this is held here, where no answer has to be waited for.
"""

from collections.abc import Sequence
from typing import Any, Final

from ringfence.model import proxy
from ringfence.translate import cel
from ringfence.translate.backstop import form
from ringfence.translate.backstop.form import Validation

NAME: Final = "ringfence-proxy-sessions"

#: Those that say which container: a port is forwarded to the network of the pod, which is the program's too.
_SESSIONS: Final = ("pods/attach", "pods/exec")


def policy(exempt: Sequence[str]) -> dict[str, Any]:
    """For enrolled namespaces; where no container is named, it is never an init container."""
    container = cel.literal(proxy.CONTAINER)
    validations = [
        Validation(
            f"dyn(object)[?'container'].orValue('') != {container}",
            f"container {proxy.CONTAINER} is the proxy, and what runs in it goes past all policies: open no session "
            "into it; `ringfence proxy show` and its log say what it does",
        )
    ]
    made = form.policy(NAME, [form.rule("", _SESSIONS, ["CONNECT"])], {}, {}, validations)
    made["spec"]["matchConstraints"]["namespaceSelector"] = form.enrolled_selector(exempt)
    return made
