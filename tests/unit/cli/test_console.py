"""What reaches a terminal, a pipe and a program."""

import io
import json

import yaml
from ringfence.cli.console import Cell, Console, Output, Style


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colours_only_on_a_terminal_that_wants_them() -> None:
    for stream, environment, expected in (
        (Terminal(), {}, "\x1b[32mok\x1b[0m\n"),
        (Terminal(), {"NO_COLOR": "1"}, "ok\n"),
        (Terminal(), {"TERM": "dumb"}, "ok\n"),
        (io.StringIO(), {"FORCE_COLOR": "1"}, "ok\n"),
    ):
        Console(stream, io.StringIO(), environment).print(Cell("ok", Style.GOOD))
        assert stream.getvalue() == expected


def test_columns_line_up_whatever_their_colour() -> None:
    out = Terminal()
    Console(out, io.StringIO(), {}).table(("A", "B"), [("x", Cell("1", Style.BAD)), ("long", "22"), ("y", "")])
    plain = out.getvalue().replace("\x1b[1m", "").replace("\x1b[31;1m", "").replace("\x1b[0m", "")
    assert plain == "A      B\nx      1\nlong   22\ny\n"


def test_foreign_text_cannot_drive_the_terminal() -> None:
    out, err = Terminal(), Terminal()
    console = Console(out, err, {"NO_COLOR": "1"})
    console.print("a\x1b]0;title\x07b\u202ec")
    console.error("x\x1b[2J\r")
    console.table(("H",), [("\x1b[1m",)])
    assert out.getvalue() == "a\\x1b]0;title\\x07b\\x202ec\nH\n\\x1b[1m\n"
    assert err.getvalue() == "error: x\\x1b[2J\\x0d\n"


def test_answers_and_remarks_go_different_ways() -> None:
    out, err = io.StringIO(), io.StringIO()
    console = Console(out, err, {}, verbosity=0)
    console.warn("w")
    console.note("n")
    console.detail("only with -v")
    console.progress("p")
    assert out.getvalue() == ""
    assert err.getvalue() == "warning: w\nnote: n\np\n"
    Console(out, err, {}, verbosity=1).detail("d")
    assert err.getvalue().endswith("note: d\n")


def test_objects_are_a_list_or_documents() -> None:
    objects = [{"kind": "A", "x": "yes"}, {"kind": "B"}]
    out = io.StringIO()
    Console(out, out, {}, output=Output.JSON).objects(objects)
    assert json.loads(out.getvalue()) == {"apiVersion": "v1", "kind": "List", "items": objects}
    out = io.StringIO()
    Console(out, out, {}, output=Output.YAML).objects(objects)
    assert list(yaml.safe_load_all(out.getvalue())) == objects
    assert 'x: "yes"' in out.getvalue()
    out = io.StringIO()
    Console(out, out, {}, output=Output.YAML).objects([])
    assert out.getvalue() == ""
