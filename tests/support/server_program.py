"""`holdfast` for a database server to call: a script that the server's own user can run.

Servers that root starts run as another user, for whom the interpreter of the tests may be out of reach:
below root's home directory. The system's own interpreter of the same version does as well then.
"""

from __future__ import annotations

import functools
import os
import pwd
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from support import postgres
from support.command_line import SOURCE_ROOT

_VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
_NEEDED = "import blake3, click, cryptography, lmdb, msgspec, zstandard, holdfast, holdfast_cli"


@functools.cache
def is_missing() -> str | None:
    """Say why a server cannot call the program here, or None."""
    if postgres.is_missing():
        return postgres.is_missing()
    if _find() is None:
        return f"the user {postgres.system_user()} can run no {_VERSION} with holdfast's libraries"
    return None


def write_program(directory: Path, *arguments: str) -> Path:
    """Make a script that runs holdfast with these arguments in front of its own.

    Args:
        directory: where the script goes.
        arguments: of each call.
    """
    found = _find()
    assert found is not None, is_missing()
    interpreter, path = found
    script = directory / "holdfast"
    words = shlex.join([interpreter, "-m", "holdfast_cli", *arguments])
    environment = f"PYTHONPATH={shlex.quote(path)} PYTHONDONTWRITEBYTECODE=1 TZ=UTC"
    script.write_text(f'#!/bin/sh\nexec env {environment} {words} "$@"\n')
    script.chmod(0o755)
    return script


def as_server_user() -> dict[str, object]:
    """Return what makes `subprocess` run something as the user that servers run as."""
    user = postgres.system_user()
    if user is None:
        return {}
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": ()}


@functools.cache
def _find() -> tuple[str, str] | None:
    """Return an interpreter that the server's user can run, and its PYTHONPATH."""
    for interpreter, path in _candidates():
        try:
            done = subprocess.run(  # type: ignore[call-overload]
                [interpreter, "-c", _NEEDED],
                env={"PYTHONPATH": path, "PATH": os.defpath},
                capture_output=True,
                check=False,
                cwd="/",
                **as_server_user(),
            )
        except OSError:
            continue
        if done.returncode == 0:
            return interpreter, path
    return None


def _candidates() -> Iterator[tuple[str, str]]:
    roots = [str(SOURCE_ROOT / "engine"), str(SOURCE_ROOT / "cli")]
    yield sys.executable, os.pathsep.join(roots)
    libraries = [path for path in sys.path if path.endswith("site-packages")]
    for place in ("/usr/bin", "/usr/local/bin"):
        yield f"{place}/{_VERSION}", os.pathsep.join([*roots, *libraries])
