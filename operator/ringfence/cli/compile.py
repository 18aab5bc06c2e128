"""`ringfence compile`: what the policies mean for a cluster, as the objects that the controller would write."""

import argparse
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from ringfence.cli import inputs, options, proxies
from ringfence.cli.console import Console, Output
from ringfence.policy import unseen
from ringfence.translate import admission_policy, network_policy
from ringfence.translate.backstop import asked

KINDS: Final = ("NetworkPolicy", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")

_DESCRIPTION = """
Show every object that Ringfence would write for these policies, sorted by kind, namespace and name. Nothing is changed
anywhere. What a person should look at (a rule that names nobody, an Allow that a Deny suspends) goes to standard error.

The webhook configurations are left out: they carry a certificate that is made when Ringfence runs. For the same reason
a proxy's certificate is a placeholder that stands for nobody.
"""
_EXAMPLES = """
  {prog} compile -f examples/shop                          # all that would be written, as YAML
  {prog} compile -f examples/shop --kind NetworkPolicy     # only what closes the network
  {prog} compile -f policies/ -f namespaces.yaml -o json | jq '.items[].metadata.name'
  kubectl get ns,svcid,secpol,csecpol,pods -A -o yaml | {prog} compile -f -
  {prog} compile --kind NetworkPolicy                      # what the cluster's own policies come to
  {prog} compile -f examples/shop --proxy shop/checkout    # what the proxies of an identity are told

exit status: 0 compiled (also with warnings), 2 the input cannot be used
"""


def add(subparsers: options.Subparsers) -> None:
    """Define the command."""
    parser = options.command(subparsers, "compile", "show every object that would be written", _DESCRIPTION, _EXAMPLES)
    options.files(parser, "policies, identities, namespaces and workloads; without it, those of the cluster")
    options.cluster(parser)
    options.output(parser, (Output.YAML, Output.JSON))
    parser.add_argument(
        "--kind",
        action="append",
        choices=KINDS,
        type=_kind,
        metavar="KIND",
        help=f"only this kind, repeatable: {', '.join(KINDS)}",
    )
    parser.add_argument(
        "--proxy",
        type=proxies.name_of,
        metavar="NAMESPACE/NAME",
        help="instead, the configuration of an identity's proxies as one bootstrap that `envoy --mode validate` takes",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Compile and show."""
    loaded, settings = inputs.load(arguments, console)
    if arguments.proxy is not None:
        proxies.show(arguments.proxy, loaded, arguments.namespace, console)
        return 0
    wanted = arguments.kind or KINDS
    policies = [inputs.effective(loaded.world)(name) for name in sorted(loaded.world.namespaces)]
    now = time.time()
    admission = admission_policy.objects(
        loaded.world.installation,
        default_enrolment=settings.default_enroll,
        proxy=settings.injection,
        placed=[each for policy in policies for each in asked.of(policy, now)],
    )
    networks = (obj for policy in policies for obj in network_policy.objects(policy, loaded.world.installation))
    objects = [obj for obj in (*networks, *admission) if obj["kind"] in wanted]
    console.objects(sorted(objects, key=_key))
    services = proxies.services(loaded, arguments.namespace)
    told = [
        # Files without Services say nothing of ports.
        replace(each, findings=unseen.findings(each, loaded.world.workloads.get(each.namespace, ()), found))
        if (found := services.get(each.namespace))
        else each
        for each in policies
    ]
    inputs.report(inputs.findings(told), loaded, console)
    return 0


def _kind(text: str) -> str:
    """A kind as it is spelt, however it is written."""
    return next((kind for kind in KINDS if kind.lower() == text.lower()), text)


def _key(obj: Mapping[str, Any]) -> tuple[str, str, str]:
    return obj["kind"], obj["metadata"].get("namespace", ""), obj["metadata"]["name"]
