"""What a person types. Results go to standard output, progress and errors to standard error."""

import argparse
import os
from collections.abc import Callable, Sequence

from e2e.cluster import backend, debian, paths
from e2e.cluster.command import run
from e2e.cluster.errors import ClusterError
from e2e.cluster.progress import say, status_of, step
from e2e.images import build, listing


def main(argv: Sequence[str]) -> int:
    """Runs one command; 0 when it did what was asked."""
    options = _parser().parse_args(argv)
    return status_of(lambda: options.command(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m e2e.images", description="Ringfence's images, from their Dockerfiles, without Docker (as root)."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, function: Callable[[argparse.Namespace], int], description: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=description, description=description)
        added.set_defaults(command=function)
        return added

    add("build", _build, "Build what has changed; print the directory of each image (an OCI image layout).")
    push = add("push", _push, "Build, put the images into the cluster's registry, print their names with digests.")
    push.add_argument("--name", default="ringfence", help="which cluster (default: %(default)s)")
    add("listing", _listing, "Print each file of the images: rights, owner, SHA-256, name.")
    add(
        "check", _check, "Compare the files with those of the images that Docker builds, where a Docker engine answers."
    )
    add("test", _test, "Run the unit tests on the Python of the image, not on the machine's.")
    return parser


def _test(_: argparse.Namespace) -> int:
    debian.ensure()
    print(build.results_of_tests())
    return 0


def _build(_: argparse.Namespace) -> int:
    debian.ensure()
    for image in build.IMAGES:
        print(build.build(image))
    return 0


def _push(options: argparse.Namespace) -> int:
    debian.ensure()
    cluster = backend.find(options.name)
    if cluster is None:
        raise ClusterError(f"there is no cluster {options.name}; start it with: python -m e2e.cluster up")
    for image in build.IMAGES:
        layout = build.build(image)
        with step(f"pushing {image.name}"):
            print(cluster.load(layout, f"{image.name}:dev"))
    return 0


def _listing(_: argparse.Namespace) -> int:
    debian.ensure()
    for image in build.IMAGES:
        print("\n".join(listing.of_layout(build.build(image))))
    return 0


def _check(_: argparse.Namespace) -> int:
    debian.ensure()
    failed = False
    for image in build.IMAGES:
        ours = listing.of_layout(build.build(image))
        if not backend.docker_answers():
            say(f"{image.name}: {len(ours)} files here; no Docker engine answers, so there is nothing to compare with")
            continue
        tag = f"{image.name}:check"
        with step(f"docker build of {image.name}"):
            file = str(paths.REPOSITORY / image.dockerfile)
            run("docker", "build", "--file", file, "--tag", tag, paths.REPOSITORY, environment=dict(os.environ))
        found = listing.differences(ours, listing.of_docker(tag))
        say(f"{image.name}: {len(ours)} files, {len(found)} differences between this build (-) and Docker's (+)")
        print("\n".join(found))
        failed = failed or bool(found)
    return 1 if failed else 0
