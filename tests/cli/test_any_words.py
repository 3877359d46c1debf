"""Whatever is typed: an exit code that the documentation lists, and never a traceback."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile

import click
from hypothesis import given
from hypothesis import strategies as st

from holdfast_cli.exit_codes import ExitCode
from holdfast_cli.main import main
from holdfast_cli.registry import COMMANDS, build_program

# What reads standard input or runs a program of the user's is left out.
_LEFT_OUT = ("--stdin", "--stdin-from-command", "--password-command", "--new-password-command")


def _vocabulary() -> list[str]:
    program = build_program()
    context = program.make_context("holdfast", [], resilient_parsing=True)
    words = {
        "list",
        "add",
        "remove",
        "passwd",
        "recovery",
        "latest",
        "a",
        "/",
        ":",
        "1",
        "",
        "\udcff",
    }
    for name in COMMANDS:
        command = program.get_command(context, name)
        assert command is not None
        commands = [command]
        if isinstance(command, click.Group):
            commands += command.commands.values()
        words.update(
            option
            for each in commands
            for parameter in each.params
            if isinstance(parameter, click.Option)
            for option in parameter.opts
        )
    return sorted(words.difference(_LEFT_OUT))


WORDS = st.deferred(lambda: st.sampled_from(_vocabulary()))


@given(
    st.sampled_from([*COMMANDS, "key list", "key add", "key remove", "nonsense"]),
    st.lists(WORDS | st.text(st.characters(codec=None, exclude_characters="\0-"), max_size=5)),
)
def test_any_words_end_with_a_documented_code(command: str, words: list[str]) -> None:
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    with (
        tempfile.TemporaryDirectory() as directory,
        contextlib.chdir(directory),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        location = os.path.join(directory, "absent", "repository")
        key = os.path.join(directory, "key")
        code = main([*command.split(), *words, "-r", location, "--key-file", key])
    out.flush()
    err.flush()
    complaint = err.buffer.getvalue()
    assert code in set(ExitCode)
    assert b"Traceback" not in complaint
    assert b"defect" not in complaint
    if code != ExitCode.SUCCESS:
        assert complaint.endswith(b"\n")
