"""How many threads work that fills the processor gets."""

from __future__ import annotations

import os


def working_threads() -> int:
    """Return as many threads as this machine has cores, but 2 at the least and 8 at the most."""
    return max(2, min(os.cpu_count() or 2, 8))
