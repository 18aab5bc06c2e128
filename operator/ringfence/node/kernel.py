"""The kernel's calls and netlink messages that Python 3.11 has no words for: setns, unshare, inotify, addresses.

Layouts of messages: linux/netlink.h, linux/rtnetlink.h, linux/netfilter/nf_tables.h.
"""

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Iterator
from typing import Final

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_NEW_NETWORK: Final = 0x40000000  # CLONE_NEWNET

_NETFILTER: Final = 12  # NETLINK_NETFILTER
_NFTABLES_GROUP: Final = 1 << 6  # NFNLGRP_NFTABLES, as bind() takes it
_NFTABLES: Final = 10 << 8  # NFNL_SUBSYS_NFTABLES
_NEW_GENERATION: Final = _NFTABLES | 15  # NFT_MSG_NEWGEN
_GET_GENERATION: Final = _NFTABLES | 16  # NFT_MSG_GETGEN
_GENERATION_ID: Final = 1  # NFTA_GEN_ID

_HEADER: Final = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_REQUEST, _ACK, _EXCLUSIVE, _CREATE = 0x1, 0x4, 0x200, 0x400
_ERROR: Final = 2  # NLMSG_ERROR
_NEW_ADDRESS: Final = 20  # RTM_NEWADDR
_LOOPBACK: Final = 1  # its index in every network namespace
_WITHOUT_DETECTION: Final = 0x02  # IFA_F_NODAD
_SCOPE_HOST: Final = 254

_EVENT: Final = struct.Struct("iIII")  # inotify_event: watch, mask, cookie, length of the name
IN_CREATE: Final = 0x100
IN_IGNORED: Final = 0x8000
IN_OVERFLOW: Final = 0x4000
_ONLY_DIRECTORIES: Final = 0x01000000


def enter_network(namespace: int) -> None:
    """Put the calling thread into the network namespace of an open descriptor. Raises OSError.

    For child processes: whoever fails to come back would do the rest of its work in a stranger's network.
    """
    _check(_LIBC.setns(namespace, _NEW_NETWORK), "setns")


def new_network() -> None:
    """Put the calling thread into a network namespace of its own, which ends with it. Raises OSError."""
    _check(_LIBC.unshare(_NEW_NETWORK), "unshare")


def _check(result: int, call: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")
    return result


# --- nftables' generations ------------------------------------------------------------------------------------------


def rules_changes() -> socket.socket:
    """A socket that tells of every change of nftables in the network namespace of the caller, and keeps it alive."""
    listener = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETFILTER)
    listener.bind((0, _NFTABLES_GROUP))
    return listener


def generation() -> int:
    """The number of nftables' state in the caller's network namespace, another after each change. Raises OSError."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETFILTER) as asker:
        asker.bind((0, 0))
        asker.settimeout(5)
        body = struct.pack("=BBH", 0, 0, 0)
        asker.send(_HEADER.pack(_HEADER.size + len(body), _GET_GENERATION, _REQUEST, 1, 0) + body)
        for found in generations(asker.recv(4096)):
            return found
    raise OSError(errno.EPROTO, "nftables does not say its generation")


def generations(data: bytes) -> Iterator[int]:
    """The generations that netlink messages (of ``rules_changes``) tell of."""
    for kind, body in _messages(data):
        if kind != _NEW_GENERATION:
            continue
        rest = body[4:]
        while len(rest) >= 4:
            length, name = struct.unpack_from("=HH", rest)
            if name == _GENERATION_ID and length == 8:
                yield int.from_bytes(rest[4:8], "big")
            rest = rest[max(4, (length + 3) & ~3) :]


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _HEADER.size:
        length, kind, *_ = _HEADER.unpack_from(data)
        if length < _HEADER.size:
            return
        yield kind, data[_HEADER.size : length]
        data = data[(length + 3) & ~3 :]


# --- addresses ------------------------------------------------------------------------------------------------------


def add_to_loopback(address: str) -> None:
    """Give the loopback interface of the caller's network namespace an IPv6 address (/128); it may have it already.

    Raises OSError, where IPv6 is switched off too.
    """
    raw = socket.inet_pton(socket.AF_INET6, address)
    body = struct.pack("=BBBBI", socket.AF_INET6, 128, _WITHOUT_DETECTION, _SCOPE_HOST, _LOOPBACK)
    for attribute in (1, 2):  # IFA_ADDRESS, IFA_LOCAL
        body += struct.pack("=HH", 4 + len(raw), attribute) + raw
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as asker:
        asker.bind((0, 0))
        asker.settimeout(5)
        flags = _REQUEST | _ACK | _CREATE | _EXCLUSIVE
        asker.send(_HEADER.pack(_HEADER.size + len(body), _NEW_ADDRESS, flags, 1, 0) + body)
        for kind, answer in _messages(asker.recv(4096)):
            number = -struct.unpack_from("=i", answer)[0] if kind == _ERROR else 0
            if number not in {0, errno.EEXIST}:
                raise OSError(number, f"{address} on lo: {os.strerror(number)}")


# --- inotify --------------------------------------------------------------------------------------------------------


def inotify() -> int:
    """A descriptor, to be read without blocking. Raises OSError."""
    return _check(_LIBC.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK), "inotify_init1")


def watch_directory(descriptor: int, path: str) -> int:
    """Tell of what is made in a directory; the number that events carry. Raises OSError."""
    return _check(
        _LIBC.inotify_add_watch(descriptor, os.fsencode(path), IN_CREATE | _ONLY_DIRECTORIES), "inotify_add_watch"
    )


def inotify_events(data: bytes) -> Iterator[tuple[int, int, str]]:
    """(number of the watch, what happened, name) of each event read."""
    while len(data) >= _EVENT.size:
        watch, mask, _, length = _EVENT.unpack_from(data)
        name = data[_EVENT.size : _EVENT.size + length].rstrip(b"\0")
        yield watch, mask, os.fsdecode(name)
        data = data[_EVENT.size + length :]
