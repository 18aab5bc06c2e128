"""The ends of a question."""

from dataclasses import replace

import pytest
from ringfence.cli import calls
from ringfence.cli.problems import Usage
from ringfence.model.errors import CannotTell
from ringfence.model.names import LABEL_IDENTITY, LABEL_ZONE
from ringfence.model.resources import ResourceMeta, ServiceIdentity
from ringfence.model.world import Installation, Namespace, Workload, World
from ringfence.policy.ends import Address, Host


def identity(namespace: str, name: str, account: str = "") -> ServiceIdentity:
    return ServiceIdentity(ResourceMeta(name, namespace), account or name)


def pod(name: str, account: str, **labels: str) -> Workload:
    return Workload("shop", name, account, {LABEL_IDENTITY: account, **labels})


WORLD = World(
    installation=Installation(api_server=(("192.0.2.1", 6443), ("192.0.2.2", 6443))),
    namespaces={
        "shop": Namespace.of("shop", {"ringfence.dev/enroll": "enforce", LABEL_ZONE: "front"}),
        "till": Namespace.of("till", {"ringfence.dev/enroll": "enforce", LABEL_ZONE: "front"}),
        "bare": Namespace.of("bare", {LABEL_ZONE: "empty"}),
    },
    identities={
        "shop": {"web": identity("shop", "web", "web-account"), "api": identity("shop", "api")},
        "till": {"web": identity("till", "web")},
        "bare": {},
    },
    workloads={
        "shop": (pod("a", "web-account"), pod("b", "web-account"), pod("c", "web-account", tier="x"), pod("d", "plain"))
    },
)


def shown(text: str, namespace: str = "shop") -> list[str]:
    return [member.shown for member in calls.read(text, WORLD, namespace).members]


def test_an_identity_stands_for_its_pods_those_alike_once() -> None:
    assert shown("shop/web") == ["Pod shop/a", "Pod shop/c"]
    assert shown("web") == ["Pod shop/a", "Pod shop/c"]


def test_an_identity_without_pods_stands_for_one_that_may_come() -> None:
    (member,) = calls.read("api", WORLD, "shop").members
    assert member.shown == "shop/api"
    assert isinstance(member.end, Workload)
    assert member.end.labels == {LABEL_IDENTITY: "api"}


def test_a_service_account_without_identity_is_taken_with_a_remark() -> None:
    asked = calls.read("shop/plain", WORLD, "default")
    assert [member.shown for member in asked.members] == ["Pod shop/d"]
    assert "is no ServiceIdentity" in asked.remark


def test_a_bare_name_is_the_only_identity_that_has_it() -> None:
    asked = calls.read("api", WORLD, None)
    assert (asked.text, [member.shown for member in asked.members]) == ("shop/api", ["shop/api"])
    assert asked.remark == "api is taken as shop/api, the only identity of that name"


def test_of_several_with_a_bare_name_none_is_taken() -> None:
    with pytest.raises(CannotTell, match=r"2 identities web: write shop/web or till/web \(or -n NAMESPACE\)$"):
        calls.read("web", WORLD, None)


def test_a_namespace_that_is_said_wins() -> None:
    assert calls.read("web", WORLD, "till").text == "till/web"
    for namespace in ("till", "default"):
        with pytest.raises(CannotTell, match=f"there is no ServiceIdentity {namespace}/api; did you mean"):
            calls.read("api", WORLD, namespace)


def test_a_bare_name_that_no_identity_has_is_one_of_the_default_namespace() -> None:
    with pytest.raises(CannotTell, match=r"there is no ServiceIdentity default/wbe$"):
        calls.read("wbe", WORLD, None)


def test_pods_of_the_default_namespace_could_be_meant_by_a_bare_name_too() -> None:
    plain = replace(WORLD, workloads={**WORLD.workloads, "default": (Workload("default", "p", "api"),)})
    with pytest.raises(CannotTell, match="there are 2 identities api: write default/api or shop/api"):
        calls.read("api", plain, None)
    alone = replace(plain, identities={})
    asked = calls.read("api", alone, None)
    assert [member.shown for member in asked.members] == ["Pod default/p"]
    assert asked.remark.startswith("default/api is no ServiceIdentity: taken as the pods")


def test_of_many_with_a_bare_name_some_are_listed() -> None:
    many = replace(WORLD, identities={f"team-{n:02}": {"web": identity(f"team-{n:02}", "web")} for n in range(12)})
    with pytest.raises(CannotTell, match=r"12 identities web: write team-00/web or .* or team-09/web or 2 more"):
        calls.read("web", many, None)


def test_a_zone_stands_for_the_identities_of_all_its_namespaces() -> None:
    assert shown("zone:front") == ["shop/api", "Pod shop/a", "Pod shop/c", "till/web"]


def test_a_pod_by_its_name() -> None:
    assert shown("pod:shop/c") == ["Pod shop/c"]
    assert shown("pod:c") == ["Pod shop/c"]


def test_an_identity_by_its_spiffe_id() -> None:
    asked = calls.read("spiffe://cluster.local/ns/shop/sa/web-account", WORLD, "default")
    assert [member.shown for member in asked.members] == ["Pod shop/a", "Pod shop/c"]
    assert asked.text == "spiffe://cluster.local/ns/shop/sa/web-account"
    with pytest.raises(Usage, match="is no SPIFFE ID: trust domain '' may hold"):
        calls.check("spiffe:///x")


def test_addresses() -> None:
    assert calls.read("ip:2001:DB8::1", WORLD, "shop").members[0].end == Address("2001:db8::1")
    assert shown("apiserver") == ["apiserver (192.0.2.1)", "apiserver (192.0.2.2)"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("shop/wbe", "did you mean shop/web"),
        ("tills/web", "did you mean shop/web or till/web"),
        ("nowhere/nothing-like-it", "there is no ServiceIdentity nowhere/nothing-like-it$"),
        ("zone:frnt", "did you mean front"),
        ("zone:", "no namespace is in zone ''"),
        ("zone:empty", "has no identities"),
        ("pod:shop/e", "there is no pod or workload e in namespace shop"),
        ("spiffe://other.example/ns/shop/sa/web", "whose trust domain is cluster.local"),
        ("spiffe://cluster.local/workload", "is no identity of this cluster"),
    ],
)
def test_what_is_not_known_cannot_be_told(text: str, message: str) -> None:
    with pytest.raises(CannotTell, match=message):
        calls.read(text, WORLD, "shop")


def test_a_host_is_asked_about_by_its_name() -> None:
    (member,) = calls.read("host:API.Example.com.", WORLD, "shop").members
    assert (member.shown, member.end) == ("host:api.example.com", Host("api.example.com"))
    for text in ("host:", "host:*.example.com", "host:192.0.2.1", "host:a_b.example"):
        with pytest.raises(Usage, match="is no name of one host"):
            calls.check(text)


def test_the_api_server_must_be_known() -> None:
    with pytest.raises(CannotTell, match="addresses are not known"):
        calls.read("apiserver", World(Installation()), "shop")


@pytest.mark.parametrize(
    "text", ["", "/", "a/", "/a", "a/b/c", "ip:", "ip:10.0.0.0/8", "ip:999.1.1.1", "pod:", "pod:a/b/c"]
)
def test_what_is_no_end_at_all(text: str) -> None:
    with pytest.raises(Usage, match=r"no end of a call|no address"):
        calls.read(text, WORLD, "shop")
