"""Writing files only when that changes them: kube-proxy, for one, ends when its configuration is written."""

import os
from pathlib import Path


def put(file: Path, content: str | bytes, mode: int = 0o644) -> None:
    """Makes the file hold the content, with these rights, in a directory that is made when it is not there."""
    data = content.encode() if isinstance(content, str) else content
    if file.exists() and file.read_bytes() == data:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    scratch = file.with_name(f".{file.name}.new")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
    scratch.rename(file)
