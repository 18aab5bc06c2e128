"""Carrying out a Dockerfile, one layer for each instruction, each kept by the hash of everything that it came from.

A layer is a directory with the changes of one instruction, laid over those before it with overlayfs, as Docker does.
"""

import hashlib
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from e2e.cluster import paths, tools
from e2e.cluster.command import run
from e2e.cluster.errors import ClusterError
from e2e.cluster.progress import step
from e2e.images import sandbox
from e2e.images.context import Context
from e2e.images.dockerfile import Copy, Run, Setting, Stage
from e2e.images.oci import Config

_DEBIAN = re.compile(r"debian:([a-z]+)(?:-slim)?")
_FORMAT = "1"
"""Part of every key: change it when the same instruction comes to mean another layer."""
_DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Built:
    """What a stage has become so far."""

    key: str
    layers: tuple[Path, ...] = ()
    """From the bottom up; empty directories are layers of instructions that change no file."""
    config: Config = field(default_factory=Config)


def home() -> Path:
    """Where layers are kept."""
    return paths.cache() / "images" / "layers"


def build(stages: Sequence[Stage], context: Context) -> Built:
    """Carries out what is not kept already and returns the last stage. Raises ClusterError or ValueError."""
    done: dict[str, Built] = {}
    with tools.lock(paths.cache() / "images" / "lock", "another process builds images; waiting for it"):
        for number, stage in enumerate(stages):
            current = _base(stage.base.image, done)
            for instruction in stage.instructions:
                current = _apply(current, instruction, done, context)
            done[stage.name or str(number)] = current
    return current


def _base(image: str, done: dict[str, Built]) -> Built:
    if image in done:
        return done[image]
    if image == "scratch":
        return Built(_digest("scratch"))
    match = _DEBIAN.fullmatch(image)
    if match is None:
        raise ClusterError(
            f"FROM {image}: without Docker a stage starts from debian:SUITE, scratch or an earlier stage"
        )
    key = _digest("debian", match[1])

    def fill(target: Path) -> None:
        with step(f"FROM {image}: unpacking Debian {match[1]}"):
            run("mmdebstrap", "--variant=minbase", "--format=directory", match[1], target)

    return Built(key, (_kept(key, fill),), Config(environment=(_DEFAULT_PATH,)))


def _apply(current: Built, instruction: Run | Copy | Setting, done: dict[str, Built], context: Context) -> Built:
    if isinstance(instruction, Setting):
        return _set(current, instruction)
    return _run(current, instruction) if isinstance(instruction, Run) else _copy(current, instruction, done, context)


def _set(current: Built, setting: Setting) -> Built:
    config, values = current.config, setting.values
    if setting.verb == "ENV":
        names = {value.partition("=")[0] for value in values}
        kept = [each for each in config.environment if each.partition("=")[0] not in names]
        config = replace(config, environment=(*kept, *values))
    elif setting.verb == "LABEL":
        config = replace(config, labels={**config.labels, **dict(value.split("=", 1) for value in values)})
    elif setting.verb == "WORKDIR":
        config = replace(config, working_directory=values[0])
    elif setting.verb == "USER":
        config = replace(config, user=values[0])
    elif setting.verb == "ENTRYPOINT":
        config = replace(config, entrypoint=values, command=())
    else:
        config = replace(config, command=values)
    return replace(current, config=config, key=_digest(current.key, repr(setting)))


def _run(current: Built, instruction: Run) -> Built:
    if current.config.user not in ("", "root", "0"):
        raise ClusterError(
            f"RUN after USER {current.config.user} is not supported without Docker: {instruction.command}"
        )
    key = _digest(current.key, "RUN", instruction.command)
    environment = {"HOME": "/root", **dict(each.split("=", 1) for each in current.config.environment)}
    directory = current.config.working_directory or "/"

    def fill(target: Path) -> None:
        with step(f"RUN {instruction.command[:60]}"), sandbox.overlay(current.layers[::-1], target) as root:
            (root / directory.lstrip("/")).mkdir(parents=True, exist_ok=True)
            sandbox.execute(root, instruction.command, environment=environment, directory=directory)

    return replace(current, key=key, layers=(*current.layers, _kept(key, fill)))


def _copy(current: Built, instruction: Copy, done: dict[str, Built], context: Context) -> Built:
    if instruction.stage is None:
        origin = context.digest(instruction.sources)
    elif instruction.stage in done:
        origin = done[instruction.stage].key
    else:
        raise ClusterError(f"COPY --from={instruction.stage}: there is no earlier stage of this name")
    key = _digest(current.key, repr(instruction), origin)

    def fill(target: Path) -> None:
        with step(f"COPY {' '.join(instruction.sources)} {instruction.target}"):
            place = target / instruction.target.lstrip("/")
            place.mkdir(parents=True, exist_ok=True)
            if instruction.stage is None:
                _copy_context(context, instruction.sources, place)
            else:
                _copy_stage(done[instruction.stage], instruction.sources, place, target.parent)

    return replace(current, key=key, layers=(*current.layers, _kept(key, fill)))


def _copy_context(context: Context, sources: Sequence[str], place: Path) -> None:
    for source in sources:
        for path in context.files(source):
            start = context.root / source
            inner = Path((context.root / path).name) if start.is_file() else (context.root / path).relative_to(start)
            file = place / inner
            file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(context.root / path, file)
            file.chmod(0o755 if (context.root / path).stat().st_mode & 0o100 else 0o644)


def _copy_stage(stage: Built, sources: Sequence[str], place: Path, scratch: Path) -> None:
    unused = scratch / "unused"
    unused.mkdir(exist_ok=True)
    with sandbox.overlay(stage.layers[::-1], unused) as root:
        for source in sources:
            origin = root / source.lstrip("/")
            run("cp", "--archive", f"{origin}/." if origin.is_dir() else origin, place)


def _kept(key: str, fill: Callable[[Path], None]) -> Path:
    """The directory of a layer; filled once, and put in its place only when it is whole."""
    final = home() / key
    if final.exists():
        return final
    scratch = home() / f"{key}.partial"
    shutil.rmtree(scratch, ignore_errors=True)
    target = scratch / "diff"
    target.mkdir(parents=True)
    fill(target)
    target.rename(final)
    shutil.rmtree(scratch, ignore_errors=True)
    return final


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join((_FORMAT, *parts)).encode()).hexdigest()[:24]
