from ringfence.model.world import Installation
from ringfence.translate.exempt import exempt_namespaces


def test_kubernetes_ringfence_and_the_platforms_own_choice_sorted() -> None:
    assert exempt_namespaces(Installation(namespace="security", exempt_namespaces=("legacy", "kube-system"))) == (
        "kube-node-lease",
        "kube-public",
        "kube-system",
        "legacy",
        "security",
    )
