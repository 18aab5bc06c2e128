"""Sizes as Kubernetes users write them: whole numbers of bytes, with Ki, Mi or Gi."""

import re
from typing import Final

#: The form that is understood.
PATTERN: Final = "^[1-9][0-9]{0,9}(Ki|Mi|Gi)?$"
_FORM: Final = re.compile("([1-9][0-9]{0,9})(Ki|Mi|Gi)?")
_FACTORS: Final = {None: 1, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}


def parse(text: str) -> int:
    """Bytes. Raises ValueError for anything that is not of the form."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no size such as 512Ki or 1Mi")
    return int(found[1]) * _FACTORS[found[2]]


def text(size: int) -> str:
    """The shortest way to write so many bytes: ``1Mi``, ``1000``."""
    for unit in ("Gi", "Mi", "Ki"):
        if size and size % _FACTORS[unit] == 0:
            return f"{size // _FACTORS[unit]}{unit}"
    return str(size)
