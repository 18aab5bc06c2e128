"""What a person types. Results go to standard output, progress and errors to standard error."""

import argparse
import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from e2e.cluster import backend, paths
from e2e.cluster.backend import Cluster
from e2e.cluster.errors import ClusterError
from e2e.cluster.layout import DEFAULT_NODES
from e2e.cluster.progress import say, status_of, step

DEFAULT_NAME = "ringfence"


def main(argv: Sequence[str]) -> int:
    """Runs one command; 0 when it did what was asked."""
    options = _parser().parse_args(argv)

    def command() -> int:
        paths.checked_name(options.name)
        status: int = options.command(options)
        return status

    return status_of(command)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m e2e.cluster",
        description="A real Kubernetes to test against: kind where Docker answers, else this machine itself (as root).",
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--name", default=DEFAULT_NAME, help="which cluster; several can run beside each other (default: %(default)s)"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, function: Callable[[argparse.Namespace], int], description: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=description, description=description, parents=[common])
        added.set_defaults(command=function)
        return added

    up = add("up", _up, "Start the cluster, or complete it when it runs.")
    up.add_argument("--nodes", type=int, help=f"how many nodes (default: {DEFAULT_NODES}, or what runs)")
    up.add_argument("--dual", action="store_true", help="IPv6 beside IPv4 (a cluster that runs without is an error)")
    add("down", _down, "Take the cluster down; nothing is left but caches.")
    add("status", _status, "Say what runs; ends with 1 unless all of it does.")
    add("env", _env, 'Print what a shell needs: eval "$(python -m e2e.cluster env)"')
    load = add("load", _load, "Put an image into the cluster's registry and print its name with its digest.")
    load.add_argument("layout", type=Path, help="an OCI image layout (a directory) or an image tar file")
    load.add_argument("reference", help="its name there without the registry, such as ringfence:dev")
    kill = add("kill", _kill, "End one part by force, as a failure would; `up` brings it back.")
    kill.add_argument("part", help="as `status` names it, such as 1/kube-apiserver")
    enter = add("enter", _enter, "Run a command inside a node, among its processes, mounts and interfaces.")
    enter.add_argument("--node", type=int, default=1, help="the node's number (default: 1)")
    enter.add_argument("argv", nargs="+", metavar="ARGUMENT", help="the command; put -- before it")
    return parser


def _up(options: argparse.Namespace) -> int:
    with step(f"cluster {options.name}"):
        cluster = backend.start(options.name, options.nodes, dual=options.dual)
    say(f'Ready. Use it with:  eval "$(python -m e2e.cluster env --name {options.name})"')
    say(f"              image names begin with {cluster.registry}/")
    return 0


def _down(options: argparse.Namespace) -> int:
    say(f"cluster {options.name}: {'is down' if backend.stop(options.name) else 'was not up'}")
    return 0


def _status(options: argparse.Namespace) -> int:
    programs = _existing(options.name).status()
    for name, running in programs:
        print(f"{'running' if running else 'STOPPED'}  {name}")
    return 0 if all(running for _, running in programs) else 1


def _env(options: argparse.Namespace) -> int:
    cluster = _existing(options.name)
    values = {
        "KUBECONFIG": str(cluster.kubeconfig),
        "PATH": os.pathsep.join([str(cluster.programs), os.environ.get("PATH", os.defpath)]),
        "RINGFENCE_REGISTRY": cluster.registry,
        **cluster.environment,
    }
    for name, value in values.items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


def _load(options: argparse.Namespace) -> int:
    print(_existing(options.name).load(options.layout, options.reference))
    return 0


def _kill(options: argparse.Namespace) -> int:
    _existing(options.name).kill(options.part)
    return 0


def _enter(options: argparse.Namespace) -> int:
    argv = [*_existing(options.name).entering(options.node), *options.argv]
    os.execvp(argv[0], argv)  # noqa: S606  # it becomes the command, terminal and all


def _existing(name: str) -> Cluster:
    cluster = backend.find(name)
    if cluster is None:
        raise ClusterError(f"there is no cluster {name}; start it with: python -m e2e.cluster up --name {name}")
    return cluster
