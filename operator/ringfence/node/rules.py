"""What stands in the network namespace of an enrolled pod: one nftables table, which leads traffic through its proxy.

Inbound nothing is exempt, outbound the proxy alone, by its user and its group together: the image of a program may say
what it runs as, and one of the two could be guessed. The text replaces whatever a table of that name
held in one transaction, so there is no moment without it, and connections that are open stay.
"""

from typing import Final

from ringfence.model import proxy

#: Name of the table; its family is inet, so that IPv4 and IPv6 cannot differ.
TABLE: Final = "ringfence"

# Closed to everybody whom the redirect has not led there: who connects to them by hand would be a caller or a target
# without an address of its own.
_HIDDEN: Final = f"{{ {proxy.OUTBOUND_PORT}, {proxy.INBOUND_PORT} }}"
_PROXYS: Final = f"{{ {proxy.OUTBOUND_PORT}, {proxy.INBOUND_PORT}, {proxy.STATUS_PORT} }}"

_TEXT: Final = f"""\
add table inet {TABLE}
delete table inet {TABLE}
table inet {TABLE} {{
	comment "traffic of this pod goes through its proxy, UID; written by ringfence"
	chain arriving {{
		type nat hook prerouting priority -100; policy accept;
		tcp dport {proxy.GATE_PORT} redirect to :{proxy.STATUS_PORT}
		tcp dport {_PROXYS} return
		meta l4proto tcp redirect to :{proxy.INBOUND_PORT}
	}}
	chain leaving {{
		type nat hook output priority -100; policy accept;
		meta skuid UID meta skgid GID goto of_proxy
		ip daddr 127.0.0.0/8 return
		ip6 daddr ::1 return
		meta l4proto tcp redirect to :{proxy.OUTBOUND_PORT}
	}}
	chain of_proxy {{
		oif "lo" ip saddr {proxy.INBOUND_SOURCE_V4} return
		oif "lo" ip6 saddr {proxy.INBOUND_SOURCE_V6} return
		ip daddr 127.0.0.0/8 return
		ip6 daddr ::1 return
		fib daddr type local meta l4proto tcp redirect to :{proxy.INBOUND_PORT}
	}}
	chain entering {{
		type filter hook input priority 0; policy accept;
		meta l4proto tcp ct state invalid,untracked drop
		tcp dport {_HIDDEN} ct status & dnat == 0 reject with tcp reset
		iif "lo" accept
		jump others
	}}
	chain going {{
		type filter hook output priority 0; policy accept;
		meta l4proto tcp ct state invalid,untracked drop
		oif "lo" accept
		jump others
	}}
	chain others {{
		meta l4proto {{ tcp, udp, sctp }} accept
		icmp type {{ destination-unreachable, time-exceeded, parameter-problem }} ct state established,related accept
		icmpv6 type {{ destination-unreachable, packet-too-big, time-exceeded, parameter-problem }} \
ct state established,related accept
		icmpv6 type {{ mld-listener-query, mld-listener-report, mld-listener-done, mld2-listener-report, \
nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert }} accept
		counter VERDICT
	}}
}}
"""


def ruleset(uid: int, gid: int = 0, *, strict: bool) -> str:
    """Input for ``nft -f -``.

    ``uid`` is the proxy's user as the pod knows it (model.proxy.users), ``gid`` its group (0: the number of the user):
    the kernel compares them with the ids of the user namespace that the network belongs to. ``strict``: protocols other
    than TCP, UDP and SCTP are dropped, but for the errors of ICMP and neighbour discovery; otherwise they are only
    counted. ValueError for a user or a group that no proxy has.
    """
    ranges = [proxy.users(own=own) for own in (False, True)]
    gid = gid or uid
    for what, given in (("user", uid), ("group", gid)):
        if not any(first <= given <= last for first, last in ranges):
            told = " or ".join(f"{first} to {last}" for first, last in ranges)
            raise ValueError(f"{what} id {given} is none of a proxy's ({told})")
    return _TEXT.replace("UID", str(uid)).replace("GID", str(gid)).replace("VERDICT", "drop" if strict else "accept")
