"""`holdfast version`: what runs here."""

from __future__ import annotations

from typing import Final

import click

from holdfast.version import VERSION
from holdfast_cli.app import App, pass_app

_LIBRARIES: Final = (
    "blake3", "boto3", "click", "cryptography", "lmdb", "mnemonic", "msgspec", "pathspec", "rich",
    "zstandard",
)  # fmt: skip

_HELP: Final = """Print the version and what it is made of.

The parts are shown with -v or --json: the format version that is written, whether the chunker
is the fast one in C or the slow one in Python, and the versions of Python and the libraries.

\b
Examples:
  holdfast version
  holdfast version -v
  holdfast version --json
"""


@click.command("version", help=_HELP)
@pass_app
def command(app: App) -> None:
    """Print the version, and on demand what it is made of."""
    output = app.output
    if not output.json and not output.verbosity:
        output.line(f"holdfast {VERSION}")
        return
    # Imported here: loading the chunker and the libraries' metadata takes longer than all the rest.
    import platform

    from holdfast.chunking import IMPLEMENTATION
    from holdfast.format.envelope import VERSION as FORMAT_VERSION

    python = platform.python_version()
    libraries = {name: _installed_version(name) for name in _LIBRARIES}
    if output.json:
        output.document(
            {
                "version": VERSION,
                "python": python,
                "chunker": IMPLEMENTATION,
                "format_version": FORMAT_VERSION,
                "libraries": libraries,
            }
        )
        return
    output.line(f"holdfast {VERSION}")
    output.line(f"format version {FORMAT_VERSION}, chunker in {IMPLEMENTATION}, Python {python}")
    for name, version in libraries.items():
        output.line(f"{name} {version or '(not installed)'}")


def _installed_version(distribution: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
