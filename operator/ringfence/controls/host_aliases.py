"""Names mean the same to every pod: a line in /etc/hosts goes past DNS, and past everything that watches it.

So does a name server of the pod's own: it may be a program in the pod itself, on a port of the loopback that no
NetworkPolicy sees, and the proxy of the pod asks it too.

Fields: spec.hostAliases, spec.dnsConfig.nameservers. Allowed: absent, empty.
"""

from collections.abc import Iterator
from typing import Final

from ringfence.controls.control import Found, PolicyControl, quoted, shown, switch
from ringfence.controls.pod import Subject
from ringfence.model.demands import ControlId

#: How many names of one alias a message shows.
_NAMED: Final = 5


def check(subject: Subject) -> Iterator[Found]:
    for index, alias in enumerate(subject.spec.host_aliases or ()):
        names = alias.hostnames or []
        yield Found(
            f"{subject.prefix}spec.hostAliases[{index}]",
            f"gives {quoted(name[:64] for name in names[:_NAMED]) or 'no name'} the address {shown(alias.ip)}",
            "remove it and use a Service or DNS",
        )
    servers = (subject.spec.dns_config.nameservers if subject.spec.dns_config else None) or ()
    if servers:
        yield Found(
            f"{subject.prefix}spec.dnsConfig.nameservers",
            f"has {quoted(each[:64] for each in servers[:_NAMED])} say what names mean to this pod",
            "remove it: the cluster's DNS answers",
        )


CONTROL: Final = PolicyControl(
    id=ControlId.HOST_ALIASES,
    title="Pods have no host aliases and no name servers of their own",
    prepare=switch(check),
)
