"""The backstop inside the API server: ValidatingAdmissionPolicies that hold while no webhook answers.

Every parameter is a literal (no paramKind: a policy whose parameters cannot be read is one that somebody can switch
off), and there are as few policies as the kinds allow, since each costs about a millisecond where an expression within
one is nearly free: no request meets more than one. What they hold:

- ``ringfence-pods``: a pod's identity label is its ServiceAccount, only in enrolled namespaces, and never changes; it
  uses no Secret of another identity; and where pods get a proxy it has one, and takes nothing that is the proxy's;
- ``ringfence-namespaces``: labels under ringfence.dev/, and the condition that says that a namespace is closed, are
  set by Ringfence and by whoever RBAC grants the verb ``enroll``;
- ``ringfence-network-policies``: in enforced namespaces only Ringfence writes NetworkPolicies, and nobody what means
  the same in a network's own kinds;
- ``ringfence-objects``: in enrolled namespaces only Ringfence writes trust bundles and the Secrets of identities;
- ``ringfence-proxy-reports``: of the ConfigMaps in Ringfence's own namespace proxyd writes its reports only;
- ``ringfence-proxy-sessions``: in enrolled namespaces nobody runs anything in a proxy, or attaches to it;
- ``ringfence-proxy-tokens``: tokens by which proxies show whose pod they are go to kubelets only;
- ``ringfence-secret-rights``: the right to Secrets is bound in enrolled namespaces only, to the controller only;
- ``ringfence-verdicts``: what was found out about images' signatures only the controller writes; the webhook asks.
"""

from collections.abc import Iterable
from typing import Any, Final

from ringfence.inject.injection import Injection
from ringfence.model.world import Enrolment, Installation
from ringfence.translate import cel
from ringfence.translate.backstop import (
    asked,
    form,
    namespaces,
    network_policies,
    own_objects,
    pods,
    proxy_reports,
    proxy_sessions,
    proxy_tokens,
    requirements,
    secret_rights,
    verdicts,
)
from ringfence.translate.exempt import exempt_namespaces

#: Names of the policies that are always there; their bindings have the same.
NAMES: Final = (
    namespaces.NAME,
    network_policies.NAME,
    own_objects.NAME,
    pods.NAME,
    proxy_reports.NAME,
    proxy_sessions.NAME,
    proxy_tokens.NAME,
    secret_rights.NAME,
    verdicts.NAME,
)

CONTROLLER: Final = "ringfence-controller"
PROXYD: Final = "ringfence-proxyd"
WEBHOOK: Final = "ringfence-webhook"
PURPOSE: Final = form.PURPOSE
API_VERSION: Final = form.API_VERSION
CONDITION_ENFORCED: Final = namespaces.CONDITION_ENFORCED
enrolled_selector = form.enrolled_selector


def controller_user(installation: Installation, controller: str = CONTROLLER) -> str:
    """The user as whom the controller's requests come."""
    return f"system:serviceaccount:{installation.namespace}:{controller}"


def objects(
    installation: Installation,
    *,
    controller: str = CONTROLLER,
    default_enrolment: Enrolment = Enrolment.NONE,
    proxy: Injection | None = None,
    placed: Iterable[asked.Placed] = (),
) -> tuple[dict[str, Any], ...]:
    """The policies and then their bindings: those that are always there, sorted by name, and those for ``placed``.

    ``controller`` is the ServiceAccount, in Ringfence's namespace, that writes Ringfence's objects;
    ``default_enrolment`` what a new namespace carries when its author may not choose; ``proxy`` how pods get their
    proxy (None: they get none). ``placed`` is what is asked of pods, of all namespaces.
    """
    user = cel.literal(controller_user(installation, controller))
    exempt = exempt_namespaces(installation)
    policies = (
        namespaces.policy(exempt, user, default_enrolment),
        network_policies.policy(exempt, user),
        own_objects.policy(exempt, user),
        pods.policy(exempt, proxy),
        proxy_reports.policy(installation.namespace, cel.literal(controller_user(installation, PROXYD))),
        proxy_sessions.policy(exempt),
        proxy_tokens.policy(),
        secret_rights.policy(exempt, user, installation.namespace, controller),
        verdicts.policy(user, cel.literal(controller_user(installation, WEBHOOK))),
    )
    asking, places = requirements.objects(placed, proxy)
    return (*policies, *asking, *(form.binding(name) for name in NAMES), *places)
