"""docs/cli.md says what the program does: commands, options, variables, exit codes, JSON keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from holdfast_cli import options
from holdfast_cli.exit_codes import ExitCode
from holdfast_cli.options import InheritedOption, global_options
from holdfast_cli.registry import COMMANDS, build_program
from support.json_keys import JSON_KEYS

DOCUMENT = Path(__file__).parents[2] / "docs" / "cli.md"
FILTERS = {"--host", "--path", "--tag"}
OTHER_SECTIONS = {
    "First steps", "Global options", "Environment", "Locations", "Naming snapshots", "Exit codes", "JSON",
    "Requests and bandwidth",
}  # fmt: skip


def sections() -> dict[str, str]:
    """Heading -> text up to the next heading."""
    parts = re.split(r"^##+ (.+)$", DOCUMENT.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def described_options(text: str) -> set[str]:
    """Options in the first column of a section's tables."""
    rows = re.findall(r"^\| (`-.*?) \|", text, flags=re.MULTILINE)
    return {option for row in rows for option in re.findall(r"`(--?[a-zA-Z][a-z0-9-]*)", row)}


def all_commands() -> Iterator[tuple[str, click.Command]]:
    """Every command and subcommand with its full name."""
    program = build_program()
    context = program.make_context("holdfast", [], resilient_parsing=True)
    for name in COMMANDS:
        command = program.get_command(context, name)
        assert command is not None
        yield name, command
        if isinstance(command, click.Group):
            for inner, subcommand in command.commands.items():
                yield f"{name} {inner}", subcommand


def own_options(command: click.Command) -> set[str]:
    """Names of the options that are the command's own."""
    return {
        name
        for parameter in command.params
        if isinstance(parameter, click.Option) and not isinstance(parameter, InheritedOption)
        for name in (*parameter.opts, *parameter.secondary_opts)
    }


def test_every_command_has_a_section_and_every_section_a_command() -> None:
    names = {name for name, _ in all_commands()}
    assert set(sections()) == names | OTHER_SECTIONS


def test_every_option_is_described_where_it_belongs() -> None:
    found = sections()
    described = {name: described_options(found[name]) for name, _ in all_commands()}
    assert described == {name: own_options(command) for name, command in all_commands()}


def test_every_option_and_command_has_help() -> None:
    for name, command in all_commands():
        assert command.help, name
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{name} {parameter.name}"


def test_global_options_and_filters_are_described() -> None:
    expected = {name for option in global_options() for name in option.opts}
    found = sections()
    assert described_options(found["Global options"]) == expected | {"--version", "-h", "--help"}
    assert described_options(found["Naming snapshots"]) == FILTERS


def test_every_variable_is_described() -> None:
    source = Path(options.__file__).read_text(encoding="utf-8")
    used = set(re.findall(r"\bHOLDFAST_[A-Z_]+[A-Z]\b", source))
    used |= {f"HOLDFAST_{kind.name}" for kind in options.SecretKind}
    found = set(re.findall(r"^\| `(HOLDFAST_[A-Z_]+)`", sections()["Environment"], re.MULTILINE))
    assert found == used


def test_exit_codes_are_described() -> None:
    found = re.findall(r"^\| (\d+) \|", sections()["Exit codes"], flags=re.MULTILINE)
    assert [int(code) for code in found] == [int(code) for code in ExitCode]


@pytest.mark.parametrize("name", list(JSON_KEYS))
def test_json_keys_are_described(name: str) -> None:
    section = sections()[name]
    words = set(re.findall(r"`([a-z_]+)`", section))
    assert set(JSON_KEYS[name]) - {"event"} <= words
