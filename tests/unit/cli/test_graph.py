"""The picture: the same bytes every time, safe whatever names say, with all that it has to show."""

import json
import random
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from ringfence.cli import main
from ringfence.cli.drawing import dot, layout, svg
from ringfence.cli.drawing.plan import plan
from ringfence.policy.graph.model import By, Change, Edge, Graph, Kind, Node

from tests.unit.cli.estate import documents

GOLDEN = Path(__file__).parents[2] / "golden" / "graph"
SHOP = "examples/shop"
HOSTILE = '</text><script>alert("1")</script>\u202e&amp;\x07\n]]>'


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[3])
    monkeypatch.setenv("KUBECONFIG", "/dev/null")


def draw(*arguments: str) -> int:
    return main.main(["graph", "--pod-cidr", "10.244.0.0/16", *arguments], {})


@pytest.mark.parametrize("suffix", ["svg", "dot", "json"])
def test_the_shop(suffix: str, tmp_path: Path, golden: Any) -> None:
    out = tmp_path / f"shop.{suffix}"
    assert draw("-f", SHOP, "-o", str(out)) == 0
    golden.check(GOLDEN / f"shop.{suffix}", out.read_text(encoding="utf-8"))
    again = tmp_path / f"again.{suffix}"
    assert draw("-f", SHOP, "-o", str(again)) == 0
    assert again.read_bytes() == out.read_bytes()


def test_the_picture_in_the_documentation_is_the_shops(golden: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert draw("-f", SHOP, "--title", "Who may call whom in the shop") == 0
    golden.check(Path("docs/shop.svg").resolve(), capsys.readouterr().out)


HOSTS = """
apiVersion: ringfence.dev/v1alpha1
kind: ServiceIdentity
metadata: {name: web, namespace: shop}
---
apiVersion: ringfence.dev/v1alpha1
kind: SecurityPolicy
metadata: {name: web, namespace: shop}
spec:
  egress:
    - {name: names, to: [{host: api.bank.example}, {host: "*.cdn.example"}], ports: [443]}
    - {name: net, to: [{cidr: 203.0.113.0/24}], ports: [443, 80]}
    - {name: gone, to: [{host: old.example}], ports: [8443]}
    - {name: never, action: Deny, to: [{cidr: 0.0.0.0/0}, {cidr: "::/0"}], ports: [8443]}
"""


def test_hosts_are_shown_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "web.yaml").write_text(HOSTS)
    out = tmp_path / "out.json"
    assert draw("-f", str(tmp_path / "web.yaml"), "-o", str(out)) == 0
    edges = {(e["source"], e["target"]): e["ports"] for e in json.loads(out.read_text())["edges"]}
    assert edges == {
        ("shop/web", "203.0.113.0/24"): ["80", "443"],
        ("shop/web", "*.cdn.example"): ["443"],
        ("shop/web", "api.bank.example"): ["443"],
    }
    many = "".join(f"{{host: h{number}.example}}, " for number in range(9))
    (tmp_path / "web.yaml").write_text(HOSTS.replace("{host: api.bank.example}, ", many))
    assert draw("-f", str(tmp_path / "web.yaml"), "-o", str(out)) == 0
    assert ("shop/web", "many hosts") in {(e["source"], e["target"]) for e in json.loads(out.read_text())["edges"]}


def test_an_estate_of_many_services_is_drawn_as_namespaces_and_as_identities(tmp_path: Path) -> None:
    for services, by, frames in ((200, "namespace", 4), (60, "identity", 21)):
        items = documents(services)
        (tmp_path / "estate.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
        out = tmp_path / f"{by}.svg"
        assert draw("-f", str(tmp_path / "estate.json"), "-o", str(out), "--by", by) == 0
        picture = out.read_text(encoding="utf-8")
        assert len([each for each in texts(picture) if each.startswith("zone ")]) == 4
        assert picture.count('class="frametext ') == frames
        assert overlapping(picture) == []


def test_a_graph_that_ends_graphviz_is_drawn_without_room_for_its_labels(tmp_path: Path) -> None:
    """Twenty namespaces that call each other at random: an assertion of Graphviz' fails, which ends its process."""
    out = tmp_path / "random.svg"
    names = [(f"team-{n:02d}", f"svc-{i}") for n in range(20) for i in range(10)]
    chosen = random.Random(4)  # noqa: S311
    items: list[dict[str, Any]] = []
    for number in range(20):
        labels = {"ringfence.dev/enroll": "enforce", "ringfence.dev/zone": ("edge", "core", "data", "ops")[number % 4]}
        metadata = {"name": f"team-{number:02d}", "labels": labels}
        items.append({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    for namespace, name in names:
        made = {"apiVersion": "ringfence.dev/v1alpha1", "metadata": {"name": name, "namespace": namespace}}
        peers = [{"identity": {"namespace": a, "name": b}} for a, b in chosen.sample(names, 2)]
        spec = {"appliesTo": {"identities": [name]}, "ingress": [{"name": "callers", "from": peers, "ports": [8080]}]}
        items += [made | {"kind": "ServiceIdentity", "spec": {}}, made | {"kind": "SecurityPolicy", "spec": spec}]
    (tmp_path / "random.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    assert draw("-f", str(tmp_path / "random.json"), "-o", str(out)) == 0
    picture = out.read_text(encoding="utf-8")
    assert picture.count(">8080") > 100
    assert overlapping(picture) == []


def overlapping(picture: str) -> list[tuple[str, str]]:
    """Boxes that lie on each other."""
    root = ElementTree.fromstring(picture)  # noqa: S314 (our own)
    found = []
    for group in root.iter("{http://www.w3.org/2000/svg}g"):
        rect, title = group.find("{*}rect"), group.find("{*}title")
        if rect is not None and title is not None:
            x, y, w, h = (float(rect.get(name, "0")) for name in ("x", "y", "width", "height"))
            found.append((title.text or "", x, y, x + w, y + h))
    return [
        (one[0], other[0])
        for n, one in enumerate(found)
        for other in found[:n]
        if one[1] < other[3] and other[1] < one[3] and one[2] < other[4] and other[2] < one[4]
    ]


def test_what_has_changed(tmp_path: Path, golden: Any) -> None:
    new = tmp_path / "new"
    new.mkdir()
    for path in Path(SHOP).glob("*.yaml"):
        text = (
            path.read_text().replace("ports: [5432]", "ports: [5433]").replace("name: checkout}}]", "name: frontend}}]")
        )
        (new / path.name).write_text(text)
    out = tmp_path / "change.svg"
    assert draw("-f", str(new), "--diff", SHOP, "-o", str(out), "--title", "A change") == 0
    golden.check(GOLDEN / "change.svg", out.read_text(encoding="utf-8"))


def texts(picture: str) -> list[str]:
    root = ElementTree.fromstring(picture)  # noqa: S314 (our own)
    return [each.text or "" for each in root.iter("{http://www.w3.org/2000/svg}text")]


def test_a_picture_is_well_formed_and_says_it_all(tmp_path: Path) -> None:
    out = tmp_path / "shop.svg"
    draw("-f", SHOP, "-o", str(out))
    found = texts(out.read_text(encoding="utf-8"))
    for word in ("frontend", "checkout", "payments", "ledger", "zone front", "zone data", "anyone", "8443", "5432"):
        assert word in found
    assert "Who may call whom" in found


def hostile() -> Graph:
    nodes = (
        Node(f"a/{HOSTILE}", HOSTILE, Kind.IDENTITY, HOSTILE, HOSTILE),
        Node('b/"', '"', Kind.IDENTITY, "b", "z", change=Change.ADDED),
    )
    edges = (Edge(nodes[0].key, nodes[1].key, (HOSTILE,), crosses=True, surely=False, change=Change.REMOVED),)
    return Graph(By.IDENTITY, nodes, edges)


def test_names_are_words_and_nothing_else() -> None:
    planned = plan(hostile(), HOSTILE)
    picture = svg.drawn(planned, layout.of(planned))
    root = ElementTree.fromstring(picture)  # noqa: S314 (our own)
    assert {each.tag.rpartition("}")[2] for each in root.iter()} <= {
        "svg", "title", "desc", "style", "rect", "text", "g", "path",
    }  # fmt: skip
    names = {name for each in root.iter() for name in each.attrib}
    assert not [name for name in names if name.lower().startswith("on") or "href" in name]
    assert "\u202e" not in picture
    assert any("<script>" in text for text in texts(picture))


def test_names_do_not_leave_their_quotes_in_dot() -> None:
    source = dot.source(plan(hostile(), HOSTILE))
    for line in source.splitlines():
        inside = line.replace("\\\\", "").replace('\\"', "")
        assert inside.count('"') % 2 == 0, line
    assert dot.quoted('a\\"b\n') == '"a\\\\\\"b "'


def test_many_are_collapsed(tmp_path: Path) -> None:
    docs = []
    for space in range(7):
        labels = {"ringfence.dev/enroll": "enforce", "ringfence.dev/zone": f"z{space % 2}"}
        docs.append({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"n{space}", "labels": labels}})
        own = {"apiVersion": "ringfence.dev/v1alpha1", "kind": "ServiceIdentity"}
        docs += [{**own, "metadata": {"name": f"i{i}", "namespace": f"n{space}"}} for i in range(10)]
        rule = {"name": "r", "from": [{"identity": {"namespace": "n0", "name": "i0"}}], "ports": [80]}
        policy = {"apiVersion": "ringfence.dev/v1alpha1", "kind": "SecurityPolicy", "spec": {"ingress": [rule]}}
        docs.append({**policy, "metadata": {"name": "p", "namespace": f"n{space}"}})
    (tmp_path / "many.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": docs}))
    shown = {}
    for by in ("", "identity", "namespace", "zone"):
        out = tmp_path / "out.json"
        assert draw("-f", str(tmp_path / "many.json"), "-o", str(out), *(("--by", by) if by else ())) == 0
        shown[by] = json.loads(out.read_text())
    assert shown[""] == shown["namespace"]
    assert [(e["source"], e["target"], e["ports"]) for e in shown["namespace"]["edges"]] == [
        ("n0/", "every namespace", ["80"])
    ]
    assert [(e["source"], e["target"]) for e in shown["identity"]["edges"]] == [("n0/i0", "every identity")]
    assert [(e["source"], e["target"]) for e in shown["zone"]["edges"]] == [("z0/", "z1/")]


def test_an_arrow_that_graphviz_loses_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    planned = plan(hostile(), "x")
    answer = layout._ask(dot.source(planned, words=False))
    for edge in answer["edges"]:
        del edge["pos"]
    monkeypatch.setattr(layout, "_ask", lambda _: answer)
    with pytest.raises(layout.NoLayout, match="lost arrows of this graph: draw it with --by namespace"):
        layout.of(planned)


def test_without_graphviz_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    assert draw("-f", SHOP) == 2
    assert "pip install 'pygraphviz>=2.0'" in capsys.readouterr().err
    assert draw("-f", SHOP, "-o", str(tmp_path / "shop.dot")) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-f", SHOP, "-o", "shop.png"], "end it in .svg, .dot or .json; `rsvg-convert` makes a PNG of SVG"),
        (["-f", SHOP, "-o", "/nowhere/shop.svg"], "cannot be written"),
        (["-f", SHOP, "--diff", "/nowhere"], "/nowhere"),
    ],
)
def test_what_cannot_be_is_said(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert draw(*arguments) == 2
    assert message in capsys.readouterr().err
