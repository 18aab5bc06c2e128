"""Kernel settings of the whole machine that a node changes, put back when the last of it is gone."""

import json
from contextlib import suppress
from pathlib import Path

_RAISED = {"fs/inotify/max_user_instances": 1024, "fs/inotify/max_user_watches": 524288}
_SET_BY_KUBELET = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)


def raise_limits(record: Path, root: Path = Path("/proc/sys")) -> None:
    """Remembers what the settings are, and lifts those that many kubelets and controllers on one machine use up."""
    file = record / "sysctl.json"
    if file.exists():
        return
    values = {
        name: (root / name).read_text().strip() for name in (*_RAISED, *_SET_BY_KUBELET) if (root / name).exists()
    }
    file.write_text(json.dumps(values))
    for name, wanted in _RAISED.items():
        if int(values.get(name, wanted)) < wanted:
            (root / name).write_text(str(wanted))


def restore(record: Path, root: Path = Path("/proc/sys")) -> None:
    """Puts the remembered values back."""
    with suppress(FileNotFoundError):
        for name, value in json.loads((record / "sysctl.json").read_text()).items():
            if (root / name).read_text().strip() != value:
                (root / name).write_text(value)
