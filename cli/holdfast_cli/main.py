"""From the command line to an exit code.

Errors become one sentence and a code here and nowhere else. The one broad `except` of the
project is here too: what it catches is a defect, and is called one.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import click

from holdfast.errors import HoldfastError
from holdfast_cli.app import App, app_of
from holdfast_cli.exit_codes import ExitCode, code_for_server, exit_code_of
from holdfast_cli.options import COMPLETION_VARIABLE, read_environment
from holdfast_cli.output.console import format_event
from holdfast_cli.output.names import printable
from holdfast_cli.output.streams import (
    OutputError,
    prepare_streams,
    silence_stdout,
    write_error,
    writing,
)
from holdfast_cli.registry import build_program
from holdfast_cli.signals import interruptible


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; nothing but the process's end escapes."""
    argv = list(sys.argv[1:] if arguments is None else arguments)
    json = "--json" in argv[: argv.index("--")] if "--" in argv else "--json" in argv
    prepare_streams()
    apps: list[App] = []
    with interruptible():
        try:
            code = _run(list(argv), apps)  # click empties the list
            with writing() as stream:
                stream.flush()
        except HoldfastError as error:
            code = code_for_server(argv, exit_code_of(error))
            if isinstance(error, OutputError):
                silence_stdout()  # else Python tries once more at exit and changes the exit code
            values = {field.name: getattr(error, field.name) for field in fields(error)}  # type: ignore[arg-type]
            _report(str(error), json=json, name=type(error).__name__, code=code, values=values)
        except click.exceptions.NoArgsIsHelpError as error:
            code = code_for_server(argv, ExitCode.USAGE)
            write_error(error.format_message())
        except click.ClickException as error:
            code = code_for_server(argv, ExitCode.USAGE)
            _report(_usage_sentence(error), json=json, name="UsageError", code=code)
        except (KeyboardInterrupt, click.Abort):
            code = code_for_server(argv, ExitCode.INTERRUPTED)
            _report("interrupted", json=json, name="Interrupted", code=code)
        except BrokenPipeError:
            # Whoever read our output has seen enough (`holdfast ls … | head`): nothing to say.
            silence_stdout()
            code = code_for_server(argv, ExitCode.FAILURE)
        except Exception as error:  # noqa: BLE001 - a defect must not greet people with a traceback
            code = code_for_server(argv, ExitCode.FAILURE)
            _report_defect(error, json=json, argv=argv, code=code)
        for app in apps:
            app.report_requests()  # after all else, also of a run that failed
    return int(code)


def _run(argv: list[str], apps: list[App]) -> int:
    """Run a command; its `App` is in `apps` then, also if it fails."""
    program = build_program()
    instruction = read_environment().get(COMPLETION_VARIABLE)
    if instruction:
        from click.shell_completion import shell_complete

        return shell_complete(program, {}, "holdfast", COMPLETION_VARIABLE, instruction)
    try:
        with program.make_context("holdfast", argv) as context:
            try:
                result = program.invoke(context)
            finally:
                app = app_of(context)
                if app is not None:
                    apps.append(app)
    except click.exceptions.Exit as done:
        return done.exit_code
    return result if isinstance(result, int) else ExitCode.SUCCESS


def _usage_sentence(error: click.ClickException) -> str:
    """Return click's complaint in one sentence that says where help is."""
    sentence = error.format_message().rstrip(".")
    sentence = sentence[:1].lower() + sentence[1:]
    context = error.ctx if isinstance(error, click.UsageError) else None
    command = context.command_path if context is not None else "holdfast"
    return f"{sentence}; see `{command} --help`"


def _report(
    sentence: str, *, json: bool, name: str, code: int, values: dict[str, Any] | None = None
) -> None:
    if json:
        fields_ = {"error": name, "message": sentence, **(values or {}), "exit_code": int(code)}
        write_error(format_event("error", fields_))
    else:
        write_error(f"holdfast: {printable(sentence)}")


def _report_defect(error: Exception, *, json: bool, argv: list[str], code: int) -> None:
    import traceback  # rarely needed, and start-up time is counted in milliseconds

    details = "".join(traceback.format_exception(error)) if _wants_details(argv) else ""
    summary = traceback.format_exception_only(error)[-1].strip()
    sentence = f"this is a defect of holdfast, please report it: {summary}"
    if details:
        write_error(details.rstrip())
    else:
        sentence += "; -v -v shows details"
    _report(sentence, json=json, name="Defect", code=code)


def _wants_details(argv: list[str]) -> bool:
    """Tell whether to show a traceback; looks at the words, as parsing itself may have failed."""
    count = sum(
        word.count("v") if word.startswith("-") and set(word[1:]) == {"v"} else word == "--verbose"
        for word in argv
    )
    return count >= 2 or bool(read_environment().get("HOLDFAST_DEBUG"))
