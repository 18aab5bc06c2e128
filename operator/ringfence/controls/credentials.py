"""What a credential looks like: names that say so, and forms that give themselves away wherever they stand.

Names are a matter of habit: who calls a password SETTING_7 is not found by its name. Forms are those that their makers
have given a prefix or a frame, so that they can be found. What was found is never shown: messages go to logs, Events
and terminals.

Every pattern looks at a text once: each begins at a marker or at the edge of a word, so that no text makes it start
over and over again.
"""

import itertools
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

#: Longer texts are refused unread, in characters: nothing that long is an argument or a setting. The same for all the
#: texts of a pod together, since whoever makes them long could hold up everybody else's reviews.
MAX_TEXT: Final = 32 * 1024
MAX_TEXTS: Final = 64 * 1024
MASK: Final = "****"
_LONGEST_NAME: Final = 256

_WORD_EDGE: Final = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
#: Words that mean a credential, and pairs of them (``API_KEY``, ``apiKey``, ``access-key``).
_WORDS: Final = frozenset(
    {"apikey", "authtoken", "credential", "credentials", "passphrase", "passwd", "password", "pwd", "secret", "token"}
    | {"accesskey", "dbpass", "passcode", "pgpassword", "privatekey", "secretkey", "userpass"}
)
_PAIRS: Final = frozenset(
    {("access", "key"), ("account", "key"), ("api", "key"), ("auth", "key"), ("encryption", "key"), ("master", "key")}
    | {("pass", "word"), ("private", "key"), ("secret", "key"), ("signing", "key")}
)
#: The last word when a name speaks of something about a credential and not of the credential.
_ABOUT: Final = frozenset(
    {"age", "alg", "algorithm", "arn", "audience", "count", "days", "dir", "directory", "enabled", "endpoint", "env"}
    | {"expiration", "expires", "expiry", "file", "files", "format", "header", "host", "hours", "id", "interval"}
    | {"issuer", "length", "lifetime", "limit", "location", "max", "method", "min", "minutes", "mode", "mount", "name"}
    | {"names", "namespace", "path", "paths", "period", "policy", "port", "prefix", "provider", "ref", "refresh"}
    | {"region", "required", "rotation", "scope", "seconds", "size", "store", "timeout", "ttl", "type", "uri", "url"}
    | {"version", "volume"}
)
#: What a switch says: no credential, whatever the name is.
_SWITCH: Final = frozenset(
    {"", "0", "1", "disabled", "enabled", "false", "no", "none", "null", "off", "on", "true", "yes"}
)
#: Another variable by the kubelet's expansion, or by that of a shell.
_EXPANDED: Final = re.compile(r"\$\([A-Za-z_][A-Za-z0-9_.-]*\)")
_SHELL: Final = re.compile(r"\$(?:\([A-Za-z_][A-Za-z0-9_.-]*\)|\{[A-Za-z_][A-Za-z0-9_]*\}|[A-Za-z_][A-Za-z0-9_]*)")


@dataclass(frozen=True, slots=True)
class Form:
    """A form that gives itself away: ``markers``, one of which is in every such text, and what the pattern finds.

    ``shows`` is what a message may show of it.
    """

    what: str
    markers: tuple[str, ...]
    pattern: re.Pattern[str]
    shows: str = MASK


_START: Final = "(?<![A-Za-z0-9])"
FORMS: Final[tuple[Form, ...]] = (
    Form(
        "a private key",
        ("PRIVATE KEY",),
        re.compile(r"-----BEGIN (?:[A-Z0-9]{1,16} ){0,4}PRIVATE KEY(?: BLOCK)?-----"),
        "-----BEGIN … PRIVATE KEY-----",
    ),
    Form(
        "an access key of AWS",
        ("AKIA", "ASIA", "ABIA", "ACCA"),
        re.compile(rf"{_START}(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{{16}}(?![A-Za-z0-9])"),
        f"AKIA{MASK}",
    ),
    Form(
        "a token of GitHub",
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
        re.compile(rf"{_START}(?:gh[pousr]_[A-Za-z0-9]{{20,255}}|github_pat_[A-Za-z0-9_]{{20,255}})"),
        f"gh{MASK}",
    ),
    Form(
        "a token of GitLab",
        ("glpat-", "gldt-", "glrt-", "glptt-", "glcbt-", "glsoat-"),
        re.compile(rf"{_START}gl(?:pat|dt|rt|ptt|cbt|soat)-[A-Za-z0-9_.-]{{20,255}}"),
        f"gl{MASK}",
    ),
    Form(
        "a token of Slack",
        ("xoxb-", "xoxp-", "xoxa-", "xoxe-", "xoxo-", "xoxr-", "xoxs-", "xapp-"),
        re.compile(rf"{_START}(?:xox[abeoprs]|xapp)-[A-Za-z0-9-]{{10,255}}"),
        f"xox{MASK}",
    ),
    Form(
        "a secret key of Stripe",
        ("k_live_", "k_test_"),
        re.compile(rf"{_START}[sr]k_(?:live|test)_[A-Za-z0-9]{{16,255}}"),
        f"sk_{MASK}",
    ),
    Form("an API key of Google", ("AIza",), re.compile(rf"{_START}AIza[A-Za-z0-9_-]{{35}}"), f"AIza{MASK}"),
    Form("a token of npm", ("npm_",), re.compile(rf"{_START}npm_[A-Za-z0-9]{{36}}"), f"npm_{MASK}"),
    Form("a token of PyPI", ("pypi-",), re.compile(rf"{_START}pypi-[A-Za-z0-9_-]{{50,255}}"), f"pypi-{MASK}"),
    Form("a token of Vault", ("hvs.", "hvb."), re.compile(rf"{_START}hv[sb]\.[A-Za-z0-9_-]{{20,255}}"), f"hvs.{MASK}"),
    Form("an account key of Azure", ("AccountKey=",), re.compile(r"AccountKey=[A-Za-z0-9+/]{40,100}={0,2}")),
    Form(
        "a JSON Web Token",
        ("eyJ",),
        re.compile(r"(?<![A-Za-z0-9_.-])eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{16,}"),
        f"eyJ{MASK}",
    ),
    Form(
        "a credential of an HTTP request",
        ("earer ", "asic "),
        re.compile(rf"{_START}(?:[Bb]earer|[Bb]asic) +(?![$<{{])[A-Za-z0-9._~+/=-]{{12,}}"),
        f"Bearer {MASK}",
    ),
)

#: ``user:password@`` behind ``://``. Neither part holds a slash, so each looks no further than to the next one.
_URL: Final = Form(
    "a URL with a password in it",
    ("://",),
    re.compile(r"://[^/?#@:\s\"'<>]*:([^/?#@\s\"'<>]+)@"),
    f"://{MASK}:{MASK}@",
)
_MARKED: Final = tuple((marker, form) for form in (*FORMS, _URL) for marker in form.markers)


class Room:
    """How many characters of a pod may still be looked through."""

    def __init__(self) -> None:
        self._left = MAX_TEXTS

    def for_all(self, texts: Iterable[str]) -> bool:
        """Take the texts off; False when there is no room for them, and then for none after them."""
        self._left -= sum(map(len, texts))
        return self._left >= 0


#: What is said where there is no room, and what to do.
NO_ROOM: Final = f"makes more than {MAX_TEXTS} characters in this pod, too many to look for credentials in"
NO_ROOM_FIX: Final = "keep settings of this size in a ConfigMap and mount it"


def possible(texts: Iterable[str]) -> tuple[Form, ...]:
    """The forms whose markers are anywhere in the texts: hardly ever one, and found out for all texts at once."""
    joined = "\n".join(texts)
    return tuple([form for marker, form in _MARKED if marker in joined])


def found(text: str, forms: Iterable[Form], *, in_shell: bool = False) -> Form | None:
    """The first of the forms that the text has. ``in_shell``: a shell's variable may stand for a password in it."""
    for form in forms:
        if form is _URL:
            if _has_password(text, _SHELL if in_shell else _EXPANDED):
                return form
        elif form.pattern.search(text) is not None:
            return form
    return None


def _has_password(text: str, reference: re.Pattern[str]) -> bool:
    return any(reference.fullmatch(match[1]) is None for match in _URL.pattern.finditer(text))


def named(name: str) -> bool:
    """Whether a name (of a variable, a flag, a header) says that its value is a credential."""
    # Only the beginning is kept: whoever sends names of a megabyte must not fill the memory with them.
    return _named(name[:_LONGEST_NAME])


@lru_cache(maxsize=8192)
def _named(name: str) -> bool:
    words = [word.lower() for word in _WORD_EDGE.split(name) if word]
    # PWD alone is the working directory of a shell.
    if not words or words[-1] in _ABOUT or words == ["pwd"]:
        return False
    if words[-1] == "pass" or not _WORDS.isdisjoint(words):
        return True
    return any(pair in _PAIRS for pair in itertools.pairwise(words))


def literal(value: str, *, in_shell: bool = False) -> bool:
    """Whether a value is written out: not empty, not a switch, and not another variable's."""
    if value.lower() in _SWITCH:
        return False
    return (_SHELL if in_shell else _EXPANDED).fullmatch(value) is None


#: ``NAME=value`` as a word of its own, in an argument or in a line of a shell; quotes around the value are left out.
_ASSIGNMENT: Final = re.compile(r"(?<![^\s;&|('\"`])(?:--?|/)?([A-Za-z][A-Za-z0-9_.-]{0,127})=[\"']?([^\s\"';&|]*)")
#: ``--name value``, in a line of a shell.
_FLAG: Final = re.compile(r"(?<![^\s;&|('\"`])--?([A-Za-z][A-Za-z0-9_.-]{0,127})[ \t]+[\"']?([^\s\"';&|-][^\s\"';&|]*)")


def assigned(text: str, names: Collection[str] = ()) -> Iterator[str]:
    """Names that say credential, or are among ``names``, and to which the text gives a value that is written out."""
    for sign, pattern in (("=", _ASSIGNMENT), ("-", _FLAG)):
        if sign not in text:
            continue
        for match in pattern.finditer(text):
            name, value = match.groups()
            if (name in names or named(name)) and literal(value, in_shell=True):
                yield name


def flag(argument: str, following: str, names: Collection[str] = ()) -> str:
    """The name of a flag whose value is the argument after it, when that is a credential; else ""."""
    if not argument.startswith("-") or "=" in argument or " " in argument:
        return ""
    name = argument.lstrip("-")
    if not (name in names or named(name)) or following.startswith("-") or not literal(following, in_shell=True):
        return ""
    return name
