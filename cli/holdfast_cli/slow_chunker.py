"""What people are told where backups are slow for want of a compiler."""

from __future__ import annotations

from holdfast.chunking import IMPLEMENTATION
from holdfast_cli.app import App


def tell_of_slow_chunker(app: App) -> None:
    """Tell that the chunker in C is missing, if it is."""
    if IMPLEMENTATION == "Python":
        app.output.note(
            "holdfast: the fast chunker is not installed and backups are slow; "
            "install a C compiler, then holdfast again"
        )
