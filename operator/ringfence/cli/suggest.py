"""`ringfence suggest`: the least policies that allow what was recorded, checked against the same records."""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

import msgspec

from ringfence.cli import documents, flow_files, inputs, options, simulate, words, world
from ringfence.cli.console import Console, Output, to_yaml
from ringfence.cli.documents import Document
from ringfence.cli.flow_files import Files
from ringfence.cli.simulate import counted, ends
from ringfence.cli.world import Loaded
from ringfence.flows import folding, replay, suggesting, wanted, written
from ringfence.flows.cast import Learned, Role
from ringfence.flows.flow import Party
from ringfence.flows.judge import Judge
from ringfence.flows.reading import Tally
from ringfence.flows.replay import Replay
from ringfence.flows.suggesting import SuggestedPolicy
from ringfence.flows.wanted import Wanted
from ringfence.model.names import GROUP
from ringfence.model.resources import IdentityPeer, Kind, NamespacePeer
from ringfence.model.world import Workload

DONE: Final = 0
LESS: Final = 1
PARTIAL: Final = 2

_DESCRIPTION = """
Write the least SecurityPolicies that allow the calls that were recorded: by the identity that is called, its callers,
ports, methods and paths. They stand for the SecurityPolicies that are there now, and below the ClusterSecurityPolicies.
What was denied when it was recorded is left out unless you ask for it. Read them before you apply them: what was
recorded is not what is meant.
"""
_EXAMPLES = """
  {prog} suggest --flows proxies.log > suggested.yaml                     # for the cluster
  {prog} suggest -f cluster/ --flows flows.jsonl                          # for namespaces and workloads in files
  hubble observe -o jsonpb --last 10000 | {prog} suggest --flows -
  {prog} simulate -f suggested.yaml -f cluster/ --flows flows.jsonl       # nothing breaks

exit status: 0 the policies allow all that was recorded, 1 some of it is left out, 2 not all could be read
"""
_HEADER: Final = f"""\
# Suggested from recorded calls by `ringfence suggest`: review it before you apply it.
# In paths {{*}} stands for numbers, UUIDs, long hexadecimal names and what a policy cannot write, and for every name
# where there are more than {folding.NAMES}; a method with more than {folding.PATTERNS} paths has none.
# More than {wanted.ADDRESSES} addresses that call a port are anyone.
"""


def add(subparsers: options.Subparsers) -> None:
    """Define the command."""
    parser = options.command(
        subparsers, "suggest", "write the least policies that allow recorded calls", _DESCRIPTION, _EXAMPLES
    )
    flow_files.add(parser)
    parser.add_argument("--include-denied", action="store_true", help="allow what was denied when it was recorded too")
    options.files(parser, "namespaces, identities, workloads and Services; without it, those of the cluster")
    options.cluster(parser)
    options.output(parser, (Output.YAML, Output.JSON))
    parser.set_defaults(run=run, services=True, audit=True)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Collect, write, and check what was written."""
    files = flow_files.opened(arguments, console)
    try:
        base, common = _base(arguments, console)
        learned = files.learn()
        found = _wanted(files, base, learned, arguments)
        policies = suggesting.suggest(found.wants, _listing(found.judge))
        text = "".join(_written(policies))
        replayed = _checked(files, text, common, base, learned, arguments) if policies else None
    finally:
        files.close()
    flow_files.remark(files.tally, console)
    for why, count in found.left_out.most_common():
        console.warn(f"left out, {counted(count)}: {why}")
    open_ = sorted({each.target.name for each in found.wants if isinstance(each.target, NamespacePeer)})
    for namespace in open_:
        console.note(f"namespace {namespace} is not enrolled, so nothing is suggested for what is called there")
    if replayed is None:
        console.warn("no calls are in there for which a policy is needed")
    elif console.output is Output.JSON:
        console.objects([written.policy(each) for each in policies])
    else:
        console.document(text)
    less = bool(found.left_out) or (replayed is not None and _tell(replayed, base, console))
    partial = bool(files.tally.bad or files.tally.truncated or replayed is None)
    return LESS if less else PARTIAL if partial else DONE


# --- the world -------------------------------------------------------------------------------------------------------


def _base(arguments: argparse.Namespace, console: Console) -> tuple[Loaded, tuple[Document, ...]]:
    """The world without its SecurityPolicies, and the documents that it was read from."""
    if arguments.filename:
        found, installation = inputs.given(arguments), inputs.configured(arguments).installation
        if arguments.config is None:
            installation = replace(installation, proxies=True)
            console.note("taken as an installation with proxies, since --config names none")
    else:
        found, settings = inputs.cluster_documents(arguments, console)
        installation = settings.installation
    kept = tuple(each for each in found if not _is_policy(each))
    loaded = world.load(kept, installation, default_namespace=arguments.namespace, tolerant=not arguments.filename)
    inputs.must_be_readable(loaded, loaded.world.namespaces)
    inputs.remark(loaded, console)
    return loaded, kept


def _is_policy(document: Document) -> bool:
    value = document.value if isinstance(document.value, dict) else {}
    return value.get("kind") == Kind.SECURITY_POLICY and str(value.get("apiVersion")).startswith(f"{GROUP}/")


def _wanted(files: Files, base: Loaded, learned: Learned, arguments: argparse.Namespace) -> Wanted:
    found = Wanted(simulate.judge(base, learned, arguments), arguments.include_denied)
    for flow in files.flows():
        found.add(flow)
    return found


def _checked(
    files: Files,
    text: str,
    common: Sequence[Document],
    base: Loaded,
    learned: Learned,
    arguments: argparse.Namespace,
) -> Replay:
    """The same records, judged by what was written: it is read as anybody would read it."""
    own = documents.parsed([[("suggested", text.encode(), False)]], "suggested")
    loaded = world.load(
        (*common, *own), base.world.installation, default_namespace=arguments.namespace, tolerant=not arguments.filename
    )
    replayed = Replay(simulate.judge(loaded, learned, arguments))
    # What could not be read is counted once.
    for flow in replace(files, tally=Tally()).flows():
        asked = flow.denied and arguments.include_denied
        replayed.add(msgspec.structs.replace(flow, denied=False) if asked else flow)
    return replayed


def _listing(judge: Judge) -> Callable[[IdentityPeer], bool]:
    """Of which identities a ClusterSecurityPolicy lists the egress."""

    def listed(identity: IdentityPeer) -> bool:
        role = judge.cast.role(Party(identity.namespace, identity.name, named=True))
        pods = [each for each in role.members if isinstance(each, Workload)] if isinstance(role, Role) else []
        boxes = judge.effective(identity.namespace).egress_listed
        return any(box.matches(pod.labels) for box in boxes for pod in pods)

    return listed


# --- the answer ------------------------------------------------------------------------------------------------------


def _tell(replayed: Replay, loaded: Loaded, console: Console) -> bool:
    """Say what of the records the policies do not allow; whether there is any."""
    for group in replay.ordered(replayed.broken.values()):
        why = words.because(group.half, group.governed, loaded) if group.half and group.governed else group.why
        console.warn(f"not allowed, {counted(group.seen.count)}: {ends(group)}: {why}")
    unknown = sum(group.seen.count for group in replayed.unknown.values())
    if not replayed.broken:
        console.note(f"checked against the same records: {counted(replayed.allowed.count)} allowed, none breaks")
    if unknown:
        console.note(f"of {counted(unknown)} it cannot be told (`ringfence simulate` says why)")
    return bool(replayed.broken)


def _written(policies: Sequence[SuggestedPolicy]) -> Iterator[str]:
    """The policies as YAML, with what was seen."""
    yield _HEADER
    for each in policies:
        value = written.policy(each)
        spec = value["spec"]
        bare = {key: part for key, part in spec.items() if key not in {"transport", "ingress", "egress"}}
        yield "---\n" + to_yaml({**value, "spec": bare})
        if each.plaintext:
            count = counted(each.plaintext)
            yield f"  # {count} came without mutual TLS: take this out once their pods have proxies.\n"
            yield _indented(to_yaml({"transport": spec["transport"]}), "  ")
        for section, rules in (("ingress", each.ingress), ("egress", each.egress or ())):
            if not rules:
                continue
            yield f"  {section}:\n"
            for rule, said in zip(rules, spec[section], strict=True):
                yield "".join(f"    # {line}\n" for line in written.comments(rule))
                yield _indented(to_yaml([said]), "    ")


def _indented(text: str, by: str) -> str:
    return "".join(f"{by}{line}" for line in text.splitlines(keepends=True))
