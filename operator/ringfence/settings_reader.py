"""Takes values out of the settings file and collects what is wrong with them, each with its key and what to write."""

import difflib
import ipaddress
import re
from collections.abc import Hashable
from typing import Any, Final

import yaml

from ringfence.model import durations, names
from ringfence.model.errors import FieldError
from ringfence.model.proxy_settings import Quantities
from ringfence.model.resources import Protocol
from ringfence.model.world import OpenService

_QUANTITY: Final = re.compile(r"[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?")
_FILE: Final = "file"


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice: one of the two would be ignored."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.MarkedYAMLError(problem=f"{key.value[:80]} is given twice", problem_mark=key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def document(content: bytes) -> dict[Any, Any] | FieldError:
    """The mapping that a settings file holds, empty for an empty file; or what is wrong with the file as a whole."""
    try:
        found = yaml.load(content.decode("utf-8-sig"), _Loader)  # noqa: S506 (a SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return FieldError(_FILE, *_unreadable(error))
    if found is not None and not isinstance(found, dict):
        return FieldError(_FILE, "is not a mapping", "write `key: value` lines")
    return found or {}


def _unreadable(error: Exception) -> tuple[str, str]:
    """What is wrong with a file that cannot be read, and how to mend it."""
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        where = f" in line {mark.line + 1}" if mark else ""
        return f"is not YAML{where}: {error.problem or 'cannot be read'}", "check its indentation"
    another = "name a file with settings"
    if isinstance(error, UnicodeDecodeError):
        return f"is not UTF-8: byte 0x{error.object[error.start]:02x}", another
    if isinstance(error, RecursionError):
        return "is nested too deeply", another
    return f"is not YAML: {' '.join(str(error).split())}", another


class Reader:
    """Takes values out of the document and collects what is wrong with them; a wrong value reads as its default."""

    def __init__(self, document: dict[Any, Any], path: str = "", errors: list[FieldError] | None = None) -> None:
        self.document = document
        self.errors: list[FieldError] = [] if errors is None else errors
        self._path = path
        self._known: set[str] = set()

    def wrong(self, path: str, message: str, fix: str) -> None:
        self.errors.append(FieldError(f"{self._path}{path}", message, fix))

    def section(self, key: str, value: Any, keys: set[str]) -> "Reader":
        """A reader of what is below ``key``, which knows these keys; its errors are the errors of this one."""
        return Reader(self._mapping(key, value, keys), f"{self._path}{key}.", self.errors)

    def duration(self, key: str, default: int, least: int, most: int) -> int:
        """Seconds, written as 1h30m."""
        if not self.has(key):
            return default
        value = self.document[key]
        try:
            seconds = durations.parse(value if isinstance(value, str) else "")
        except ValueError:
            self.wrong(key, f"{value!r} is no duration", "hours, minutes and seconds in quotes, such as 1h30m")
            return default
        if not least <= seconds <= most:
            self.wrong(key, f"{value} is out of range", f"{durations.text(least)} to {durations.text(most)}")
            return default
        return seconds

    def has(self, key: str) -> bool:
        self._known.add(key)
        return self.document.get(key) is not None

    def refuse_unknown(self) -> None:
        for key in self.document:
            if key not in self._known:
                self.wrong(str(key), "no such setting", _one_of(str(key), self._known))

    def text(self, key: str, default: str) -> str:
        value = self.document[key] if self.has(key) else default
        if not isinstance(value, str):
            self.wrong(key, f"{value!r} is no text", "write it in quotes")
            return default
        return value

    def matching(self, key: str, default: str, pattern: re.Pattern[str]) -> str:
        value = self.text(key, default)
        if not pattern.fullmatch(value):
            self.wrong(
                key, f"{value!r} is no trust domain", "lower-case letters, digits, '.', '-' and '_', at most 255"
            )
        return value

    def one_of(self, key: str, default: str, choices: tuple[str, ...]) -> str:
        value = self.text(key, default)
        if value not in choices:
            self.wrong(key, f"{value!r} is not known", f"one of {', '.join(choices)}")
            return default
        return value

    def flag(self, key: str, default: bool) -> bool:
        value = self.document[key] if self.has(key) else default
        if not isinstance(value, bool):
            self.wrong(key, f"{value!r} is neither true nor false", "write true or false without quotes")
            return default
        return value

    def number(self, path: str, value: Any, first: int = 1) -> int:
        self._known.add(path)
        if isinstance(value, bool) or not isinstance(value, int) or not first <= value <= 65535:
            self.wrong(path, f"{value!r} is no port", f"a number from {first} to 65535")
            return first
        return value

    def whole(self, key: str, default: int, least: int, most: int) -> int:
        """A whole number within bounds."""
        value = self.document[key] if self.has(key) else default
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            self.wrong(key, f"{value!r} is out of range", f"a whole number from {least} to {most}")
            return default
        return value

    def quantities(self, key: str, default: Quantities) -> Quantities:
        """Resources of a container, as Kubernetes writes quantities."""
        if not self.has(key):
            return default
        found = self._mapping(key, self.document[key], None)
        for name, value in found.items():
            if not _QUANTITY.fullmatch(str(value)):
                self.wrong(f"{key}.{name}", f"{value!r} is no quantity", "as 20m, 2 or 40Mi")
        return tuple(sorted((str(name), str(value)) for name, value in found.items()))

    def items(self, key: str) -> list[tuple[str, Any]]:
        """The entries of a list with their paths; a missing list is empty."""
        value = self.document[key] if self.has(key) else []
        if not isinstance(value, list):
            self.wrong(key, "is no list", "write each entry on a line of its own, after a dash")
            return []
        return [(f"{key}[{index}]", each) for index, each in enumerate(value)]

    def namespace(self, path: str, value: Any) -> str:
        if not isinstance(value, str) or not names.is_dns_label(value):
            self.wrong(path, f"{value!r} is no name of a namespace", "lower-case letters, digits and '-', at most 63")
        return str(value)

    def cidr(self, path: str, value: Any) -> str:
        try:
            return str(ipaddress.ip_network(value if isinstance(value, str) else ""))
        except ValueError:
            self.wrong(path, f"{value!r} is no CIDR", "as 10.244.0.0/16 or fd00::/48, with the host's bits zero")
            return "0.0.0.0/32"

    def endpoint(self, path: str, value: Any) -> tuple[str, int]:
        entry = self._mapping(path, value, {"address", "port"})
        address = str(entry.get("address", ""))
        try:
            address = str(ipaddress.ip_address(address))
        except ValueError:
            self.wrong(f"{path}.address", f"{address!r} is no IP address", "the address of an API server, no host name")
        return address, self.number(f"{path}.port", entry.get("port", 443))

    def open_service(self, path: str, value: Any) -> OpenService:
        entry = self._mapping(path, value, {"name", "namespace", "podLabels", "ports", "addresses"})
        name = self.namespace(f"{path}.name", entry.get("name"))
        labels = self._mapping(f"{path}.podLabels", entry.get("podLabels") or {}, None)
        addresses = self._list(f"{path}.addresses", entry.get("addresses"))
        if not labels and not addresses:
            self.wrong(path, "names no pods and no addresses", "set podLabels, or addresses")
        ports = [
            self._port(f"{path}.ports[{index}]", each)
            for index, each in enumerate(self._list(f"{path}.ports", entry.get("ports")))
        ]
        if not ports:
            self.wrong(f"{path}.ports", "is empty", "list the ports of the pods, as {protocol: UDP, port: 53}")
        return OpenService(
            name=name,
            namespace=self.namespace(f"{path}.namespace", entry.get("namespace")),
            pod_labels={str(key): str(each) for key, each in labels.items()},
            ports=tuple(ports),
            addresses=tuple(self.cidr(f"{path}.addresses[{index}]", each) for index, each in enumerate(addresses)),
        )

    def _port(self, path: str, value: Any) -> tuple[Protocol, int]:
        entry = self._mapping(path, value, {"protocol", "port"})
        protocol = entry.get("protocol", "TCP")
        if protocol not in set(Protocol):
            self.wrong(f"{path}.protocol", f"{protocol!r} is not known", f"one of {', '.join(Protocol)}")
            protocol = Protocol.TCP
        return Protocol(protocol), self.number(f"{path}.port", entry.get("port"))

    def _mapping(self, path: str, value: Any, keys: set[str] | None) -> dict[Any, Any]:
        if not isinstance(value, dict):
            self.wrong(path, f"{value!r} is no mapping", "write `key: value` lines")
            return {}
        for key in value:
            if keys is not None and key not in keys:
                self.wrong(f"{path}.{key}", "no such key", _one_of(str(key), keys))
        return value

    def _list(self, path: str, value: Any) -> list[Any]:
        if value is None:
            return []
        if not isinstance(value, list):
            self.wrong(path, "is no list", "write each entry on a line of its own, after a dash")
            return []
        return value


def _one_of(key: str, known: set[str]) -> str:
    """What may stand there, and what was probably meant."""
    by_lower = {each.lower(): each for each in known}
    close = difflib.get_close_matches(key.lower(), by_lower, n=1, cutoff=0.6)
    meant = f"did you mean {by_lower[close[0]]}? " if close else ""
    return f"{meant}one of {', '.join(sorted(known))}"
