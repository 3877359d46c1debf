"""`holdfast completion`: completion of commands and options in a shell."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import get_completion_class

from holdfast_cli.app import App, pass_app
from holdfast_cli.options import COMPLETION_VARIABLE

_HELP: Final = """Print the completion script of a shell.

The script asks holdfast itself for the words that fit, so it never needs to be made anew.

\b
Examples:
  holdfast completion bash > ~/.local/share/bash-completion/completions/holdfast
  holdfast completion zsh > ~/.zfunc/_holdfast      (a directory of $fpath)
  holdfast completion fish > ~/.config/fish/completions/holdfast.fish
"""


@click.command("completion", help=_HELP)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@pass_app
def command(app: App, shell: str) -> None:
    """Print the script for one shell."""
    completion_class = get_completion_class(shell)
    assert completion_class is not None
    completion = completion_class(
        click.get_current_context().find_root().command, {}, "holdfast", COMPLETION_VARIABLE
    )
    # Not completion.source(): for bash it would run the shell to look at its version.
    script = completion.source_template % completion.source_vars()
    if app.output.json:
        app.output.document({"shell": shell, "script": script})
    else:
        app.output.text(script)
