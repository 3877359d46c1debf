"""Tables, names, times and progress."""

from __future__ import annotations

import io
import json
import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from holdfast.errors import ConfigurationError
from holdfast.findings import Finding
from holdfast.progress import Progress
from holdfast_cli.output.console import Output
from holdfast_cli.output.json_lines import JsonProgress
from holdfast_cli.output.names import printable, short_id
from holdfast_cli.output.plain_progress import PlainProgress, describe_progress
from holdfast_cli.output.progress import choose_progress
from holdfast_cli.output.progress_bar import ProgressBar
from holdfast_cli.output.tables import Column, Table, text_width
from holdfast_cli.times import format_local, format_rfc3339, parse_time

ANY_TEXT = st.text(st.characters(codec=None))


class Terminal(io.StringIO):
    """A text stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def make_table(*rows: tuple[str, str]) -> Table:
    table = Table((Column("Name", fold=True), Column("Size", "right")))
    for row in rows:
        table.add(*row)
    return table


def test_a_table_in_a_pipe_is_aligned_and_never_wrapped() -> None:
    stream = io.StringIO()
    make_table(("a", "1 B"), ("日本", "12 KiB"), ("x" * 300, "1 B")).write(stream)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 4
    assert {text_width(line) for line in lines} == {300 + 2 + 6}
    assert lines[1].endswith("     1 B")


def test_a_table_on_a_terminal_fits_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    stream = Terminal()
    make_table(("a", "1 B"), ("x" * 100, "12 KiB")).write(stream)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue())
    assert max(map(len, plain.splitlines())) <= 40
    assert plain.count("x") == 100


def test_a_row_that_does_not_fit_the_columns_is_a_defect() -> None:
    with pytest.raises(ValueError, match="1 cells for 2 columns"):
        make_table().add("a")


@given(ANY_TEXT)
def test_no_text_can_give_orders_to_a_terminal(text: str) -> None:
    shown = printable(text)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]", shown)
    stream = io.StringIO()
    make_table((text, "")).write(stream)
    assert stream.getvalue().count("\n") == 2


def test_control_characters_are_shown_as_escapes() -> None:
    assert printable("a\x1b[31m\n\u202eb") == r"a\x1b[31m\x0a\u202eb"
    assert printable("Zoë\udce9") == "Zoë\udce9"
    assert short_id("0123456789abcdef") == "0123456789ab"


@given(ANY_TEXT)
def test_json_output_is_one_ascii_line_and_loses_nothing(text: str) -> None:
    from holdfast_cli.output.console import format_event

    line = format_event("x", {"path": text})
    assert line.isascii()
    assert "\n" not in line
    assert json.loads(line) == {"event": "x", "path": text}


def test_a_list_of_documents_is_one_json_value_with_a_line_for_each(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = Output(json=True)
    for values in ([], [{"a": 1}], [{"a": 1}, {"b": "\n"}, 3]):
        output.documents(iter(values))
        written = capsys.readouterr().out
        assert json.loads(written) == values
        assert written.count("\n") == (len(values) + 2 if values else 1)


def test_quiet_silences_notes_and_summaries_only(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(json=False, quiet=True)
    output.note("note")
    output.summary("summary")
    output.line("line")
    output.warn("warning")
    assert capsys.readouterr() == ("line\n", "holdfast: warning\n")


@given(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)), st.integers(0, 999))  # noqa: DTZ001
def test_times_survive_rfc3339(moment: datetime, nanoseconds: int) -> None:
    exact = moment.replace(tzinfo=UTC)
    whole = (exact.replace(microsecond=0) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
    time_ns = int(whole) * 10**9 + exact.microsecond * 1000 + nanoseconds
    text = format_rfc3339(time_ns)
    assert text.endswith(f"{nanoseconds:03d}Z")
    assert datetime.fromisoformat(text) == exact
    assert parse_time(text) == time_ns - nanoseconds


def test_times_beyond_the_calendar_do_not_raise() -> None:
    assert format_rfc3339(2**70).startswith("9999-12-31T")
    assert format_rfc3339(-(2**70)).startswith("0001-01-01T")
    assert format_local(2**70).startswith("@")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", format_local(0))


@pytest.mark.parametrize("text", ["", "tomorrow", "2026-13-01", "12"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a time"):
        parse_time(text)


def report(progress: Progress) -> None:
    """Everything an operation may report."""
    progress.begin("backup", total_items=2, total_bytes=2048)
    progress.update(1, 1024, "/a/\x1b[31mb")
    progress.expect(4, 4096)
    progress.finding(Finding("/x\x07", "permission denied"))
    progress.message("half of it is done")
    progress.update(4, 4096, "/c")
    progress.end()
    progress.end()


def test_progress_for_programs_is_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    report(JsonProgress(interval_s=0))
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event.pop("event") for event in events] == [
        "phase", "progress", "finding", "message", "progress",
    ]  # fmt: skip
    assert events[0] == {"phase": "backup", "total_items": 2, "total_bytes": 2048}
    assert events[1].pop("seconds") >= 0
    assert events[1] == {
        "phase": "backup",
        "items": 1,
        "bytes": 1024,
        "total_items": 2,
        "total_bytes": 2048,
        "current": "/a/\x1b[31mb",
    }
    assert events[2] == {"path": "/x\x07", "problem": "permission denied"}
    assert events[4]["total_bytes"] == 4096


def test_progress_for_programs_is_rare_and_quiet_leaves_findings(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report(JsonProgress())
    assert '"progress"' not in capsys.readouterr().out
    report(JsonProgress(quiet=True, interval_s=0))
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["event"] == "finding"


def test_a_reader_that_goes_away_does_not_end_the_operation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Broken(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr("sys.stdout", Broken())
    report(JsonProgress(interval_s=0))
    monkeypatch.setattr("sys.stderr", Broken())
    report(PlainProgress(interval_s=0))


def test_progress_without_a_terminal_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report(PlainProgress(interval_s=0))
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[0].startswith("backup: 1 of 2 items, 1.00 KiB of 2.00 KiB, ")
    assert lines[1] == "holdfast: /x\\x07: permission denied"
    assert lines[2] == "half of it is done"
    report(PlainProgress())
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_what_is_left_is_told_if_it_can_be_known() -> None:
    assert describe_progress("restore", 1, 1024, (None, None), 1.0) == (
        "restore: 1 items, 1.00 KiB, 1.00 KiB/s"
    )
    assert describe_progress("restore", 1, 1024, (3, 3072), 1.0) == (
        "restore: 1 of 3 items, 1.00 KiB of 3.00 KiB, 1.00 KiB/s, 2.00 s left"
    )
    assert describe_progress("x", 0, 0, (3, 3072), 0.0) == "x: 0 of 3 items, 0 B of 3.00 KiB, 0 B/s"


def test_a_bar_is_drawn_on_a_terminal_and_wiped_at_the_end() -> None:
    stream = Terminal()
    console = Console(file=stream, force_terminal=True, width=60, color_system=None)
    report(ProgressBar(console, interval_s=0))
    written = stream.getvalue()
    assert "backup: 1 of 2 items" in written
    assert "\\x1b[31mb" in written
    assert "permission denied" in written
    assert "half of it is done" in written
    assert written.endswith("\x1b[2K")


def test_who_watches_depends_on_the_output(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(choose_progress(Output(json=True)), JsonProgress)
    assert isinstance(choose_progress(Output(json=False)), PlainProgress)
    monkeypatch.setattr("sys.stderr", Terminal())
    assert isinstance(choose_progress(Output(json=False)), ProgressBar)
    assert not isinstance(choose_progress(Output(json=False, quiet=True)), ProgressBar)


def test_quiet_progress_shows_problems(capsys: pytest.CaptureFixture[str]) -> None:
    report(choose_progress(Output(json=False, quiet=True)))
    assert capsys.readouterr().err.endswith(": permission denied\n")
