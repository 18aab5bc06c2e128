"""Writes what is generated from the schema: the CustomResourceDefinitions, the chart's copy, and the reference.

``python -m ringfence.api.generate`` writes, with ``--check`` it only says whether what is there is up to date.
"""

import argparse
import difflib
import itertools
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from ringfence.api import reference
from ringfence.api.v1alpha1 import RESOURCES, WRITTEN, crds

_HEADER: Final = "# Generated from operator/ringfence/api by `make generate`. Do not edit.\n"
_CRD_DIRECTORIES: Final = ("crds", "charts/ringfence/files/crds")
_SHOWN_LINES: Final = 20


class _Dumper(yaml.SafeDumper):
    """Lists indented below their key, and no anchors."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        return super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def files() -> dict[str, str]:
    """Path below the repository to content, of every generated file."""
    kinds = (*RESOURCES, *WRITTEN)
    documents = {f"{resource.plural}.yaml": dump(crd) for resource, crd in zip(kinds, crds(), strict=True)}
    generated = {f"{directory}/{name}": text for directory in _CRD_DIRECTORIES for name, text in documents.items()}
    return {**generated, "docs/api.md": reference.markdown(kinds)}


def dump(crd: Mapping[str, Any]) -> str:
    """One CustomResourceDefinition as the text of a file."""
    return _HEADER + yaml.dump(dict(crd), Dumper=_Dumper, sort_keys=True, width=120, allow_unicode=True)


def stale(root: Path) -> dict[str, str]:
    """Path to the first lines of the difference, of every generated file that is missing or not up to date."""
    differences = {}
    for name, wanted in files().items():
        path = root / name
        found = path.read_text(encoding="utf-8") if path.exists() else ""
        if found != wanted:
            lines = difflib.unified_diff(found.splitlines(), wanted.splitlines(), name, "generated", lineterm="", n=1)
            differences[name] = "\n".join(itertools.islice(lines, _SHOWN_LINES))
    return differences


def write(root: Path) -> list[str]:
    """Write what is stale; the paths written."""
    wanted = files()
    written = sorted(stale(root))
    for name in written:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted[name], encoding="utf-8")
    return written


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 1 when ``--check`` finds something stale."""
    parser = argparse.ArgumentParser(
        prog="python -m ringfence.api.generate", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when something is not up to date")
    parser.add_argument(
        "--root", type=Path, default=Path(__file__).resolve().parents[3], help="the repository (default: this one)"
    )
    options = parser.parse_args(arguments)
    if not options.check:
        for name in write(options.root):
            print(f"wrote {name}")
        return 0
    differences = stale(options.root)
    for name, difference in sorted(differences.items()):
        print(f"{name} is not up to date: run `make generate`\n{difference}", file=sys.stderr)
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
