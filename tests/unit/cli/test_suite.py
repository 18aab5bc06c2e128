"""Reading PolicyTest files: what tests/golden/cli/test.cmd does not show."""

from pathlib import Path

import pytest
from ringfence.cli import suite
from ringfence.cli.problems import BadInput
from ringfence.cli.suite import Expected
from ringfence.model.requests import Request

HEAD = "apiVersion: test.ringfence.dev/v1alpha1\nkind: PolicyTest\nmetadata: {name: t}\nspec:\n"


def _read(folder: Path, spec: str) -> suite.Suite:
    file = folder / "suite.yaml"
    file.write_text(HEAD + spec)
    (found,) = suite.read([str(file)])
    return found


def test_files_are_named_relative_to_the_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pods").mkdir()
    (tmp_path / "pods" / "pod.yaml").write_text("apiVersion: v1\nkind: Pod\nmetadata: {name: x}\n")
    monkeypatch.chdir("/")
    found = _read(tmp_path, "  cases:\n  - {name: a, object: pods/pod.yaml, expect: Admitted}\n")
    (case,) = found.cases
    assert case.subject is not None
    assert case.subject.value["metadata"] == {"name": "x"}
    assert (case.line, case.expect.verdict) == (6, Expected.ADMITTED)


def test_an_object_in_the_suite_knows_its_line(tmp_path: Path) -> None:
    spec = (
        "  cases:\n  - name: a\n    object:\n      apiVersion: v1\n      kind: Pod\n      spec:\n        hostPID: 1\n"
    )
    found = _read(tmp_path, spec + "    expect: Rejected\n")
    subject = found.cases[0].subject
    assert subject is not None
    assert subject.problem("", field="spec.hostPID").line == 11


def test_the_time_is_a_moment_with_its_zone(tmp_path: Path) -> None:
    case = "  cases: [{name: a, object: {apiVersion: v1, kind: Pod}, expect: Admitted}]\n"
    assert _read(tmp_path, case).time is None
    assert _read(tmp_path, '  time: "1970-01-01T01:00:10+01:00"\n' + case).time == 10.0
    with pytest.raises(BadInput, match=r"spec\.time '2027-01-31T12:00:00' is no time"):
        _read(tmp_path, '  time: "2027-01-31T12:00:00"\n' + case)


def test_a_request_is_read(tmp_path: Path) -> None:
    sent = "{method: POST, path: /a?b, host: h, headers: {X-A: b, x-c: [d, e]}, time: '1970-01-01T00:00:09Z'}"
    call = f"{{from: a/b, to: c/d, port: 80, request: {sent}}}"
    (case,) = _read(tmp_path, f"  cases: [{{name: a, call: {call}, expect: Allowed}}]\n").cases
    assert case.call is not None
    assert case.call.request is not None
    headers = {"x-a": ("b",), "x-c": ("d", "e")}
    assert case.call.request.request(5.0) == Request("POST", "/a?b", "h", headers, time=9)
    assert suite.Sent().request(5.9) == Request(time=5)


@pytest.mark.parametrize(
    ("token", "tokens"),
    [
        ("{issuer: corp}", {"corp": {}}),
        ("{claims: {scope: a b, n: 3, ok: true, l: [x, 1.5], o: {p: q}, none: }}", {
            "": {"scope": ("a", "b"), "n": ("3",), "ok": ("true",), "l": ("x", "1.5"), "o\u203ap": ("q",)}
        }),
        ("{issuer: corp, bad: true}", {"corp": None}),
    ],
)  # fmt: skip
def test_a_token_is_what_its_payload_says_or_not_good(tmp_path: Path, token: str, tokens: object) -> None:
    call = f"{{from: a/b, to: c/d, port: 80, request: {{token: {token}}}}}"
    (case,) = _read(tmp_path, f"  cases: [{{name: a, call: {call}, expect: Allowed}}]\n").cases
    assert case.call is not None
    assert case.call.request is not None
    assert case.call.request.request(0.0).tokens == tokens


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("{issuer: corp, bad: true, claims: {a: b}}", r"cases\[0\]\.call\.request\.token\.claims are those .*leave"),
        ("{issuer: ''}", r"token\.issuer is empty \(give at least one\)"),
        ("{scope: a}", r"token has no field scope"),
        ("{claims: [a]}", r"token\.claims is a list \(give an object\)"),
        ("{bad: maybe}", r"token\.bad is a string \(give true or false\)"),
        ("{claims: {a: [" + "9" * 320 + "]}}", r"token\.claims\[a\] is too large for a number \(write it in quotes"),
    ],
)
def test_a_token_that_cannot_be_meant_is_named(tmp_path: Path, token: str, message: str) -> None:
    call = f"{{from: a/b, to: c/d, port: 80, request: {{token: {token}}}}}"
    with pytest.raises(BadInput, match=message):
        _read(tmp_path, f"  cases: [{{name: a, call: {call}, expect: Allowed}}]\n")


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (
            "{name: a, call: {from: a/b, to: c/d, port: 80, request: {method: 'A B'}}, expect: Allowed}",
            r"call\.request\.method",
        ),
        (
            "{name: a, call: {from: a/b, to: c/d, port: 80, protocol: UDP, request: {}}, expect: Allowed}",
            "carries no requests",
        ),
        ("{name: a, expect: Admitted}", "has none of object, change and call"),
        ("{name: a, object: 3, expect: Admitted}", "is a number"),
        ("{name: a, object: {kind: Service}, expect: Admitted}", "is neither a Pod nor a workload"),
        ("{name: a, object: '-', expect: Admitted}", "names standard input"),
        ("{name: a, object: {apiVersion: v1, kind: Pod}, expect: Maybe}", r"cases\[0\]\.expect"),
        ("{name: a, object: {apiVersion: v1, kind: Pod}, expect: Denied}", "Denied does not fit"),
        (
            "{name: a, object: {apiVersion: v1, kind: Pod}, expect: {verdict: Rejected, violations: []}}",
            r"expect\.violations is empty",
        ),
        (
            "{name: a, object: {apiVersion: v1, kind: Pod}, expect: {verdict: Admitted, violations: [{control: x}]}}",
            "are listed for Admitted",
        ),
        ("{name: a, call: {from: a/b, to: c/d, port: 0}, expect: Denied}", r"call\.port"),
        (
            "{name: a, call: {from: a/b, to: c/d, port: 1}, expect: {verdict: Denied, warnings: []}}",
            "has no violations",
        ),
    ],
)
def test_what_cannot_be_meant_is_named(tmp_path: Path, case: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        _read(tmp_path, f"  cases: [{case}]\n")


def test_what_lies_beside_in_a_directory_is_left_alone_and_nothing_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("apiVersion: v1\nkind: ConfigMap\n---\njust: text\n")
    with pytest.raises(BadInput, match="no PolicyTest in there"):
        suite.read([str(tmp_path)])
    with pytest.raises(BadInput, match="is no PolicyTest"):
        suite.read([str(tmp_path / "other.yaml")])


def test_what_is_wrong_in_all_cases_is_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "cases.yaml"
    file.write_text(
        """apiVersion: test.ringfence.dev/v1alpha1
kind: PolicyTest
metadata: {name: x}
spec:
  cases:
    - {name: a, call: {from: a/b, to: c/d, prot: 1}, expect: Denied}
    - {name: b, cal: {from: a/b, to: c/d, port: 1}, expect: Denied}
    - nothing
    - {name: c, call: {from: a/b, to: c/d, port: 1}, expect: Denied}
    - {name: c, call: {from: a/b, to: c/d, port: 1}, expect: Denied}
"""
    )
    with pytest.raises(BadInput) as caught:
        suite.read([str(file)])
    assert [(each.line, each.field, each.fix) for each in caught.value.problems] == [
        (6, "spec.cases[0].call", "did you mean port?"),
        (7, "spec.cases[1]", "did you mean call?"),
        (8, "spec.cases[2]", "give an object"),
        (10, "spec.cases[4].name", "name it otherwise"),
    ]
