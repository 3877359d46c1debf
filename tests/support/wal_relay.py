"""Commands that a server runs, run by the tests' own user instead.

A PostgreSQL server of the tests runs as a user who may be unable to read this checkout, or the
interpreter, as in a home directory of root. Its archive_command and restore_command are a script
that hands the arguments to a process of the tests, which runs the real command line in the server's
directory; the script ends as that ended. Each command is a fork of a process that has imported
everything: a recovery of some segments asks dozens of times.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from holdfast.closing import Closing
from support.command_line import SOURCE_ROOT

_SCRIPT = """#!/bin/sh
request={directory}/$$
printf '%s\\0' "$PWD" "$@" > "$request.new" && mv "$request.new" "$request.request"
while [ ! -e "$request.done" ]; do sleep 0.01; done
read -r code < "$request.done"
rm "$request.done"
exit "$code"
"""
_POLL_S = 0.005


class WalRelay(Closing):
    """Runs commands for servers until it is closed, or the tests end.

    Args:
        directory: exists; servers must be able to reach it.
        options: of the command line, before the subcommand.
        owner: user and group of what commands write for the server; None to leave it.
    """

    def __init__(
        self, directory: Path, options: Sequence[str], owner: tuple[int, int] | None
    ) -> None:
        requests = directory / "relay"
        requests.mkdir()
        requests.chmod(0o777)
        self._script = directory / "holdfast"
        self._script.write_text(_SCRIPT.format(directory=shlex.quote(str(requests))))
        self._script.chmod(0o755)
        parts = (SOURCE_ROOT / part for part in ("engine", "cli", "tests"))
        uid, gid = owner or (-1, -1)
        words = [sys.executable, "-m", "support.wal_relay", str(requests), str(uid), str(gid)]
        self._server = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *words, *options],
            env={
                "PATH": os.defpath,
                "PYTHONPATH": os.pathsep.join(map(str, parts)),
                "HOME": "/nonexistent",
            },
        )

    def words(self, *command: str) -> tuple[str, ...]:
        """Return how a server runs a subcommand."""
        return (str(self._script), *command)

    def archive_command(self) -> str:
        """Return the value of archive_command as it stands in a configuration file."""
        command = f'{shlex.join(self.words("wal-push"))} "%p"'.replace("'", "''")
        return f"'{command}'"

    def run(self, *command: str) -> int:
        """Run a subcommand as a server would; return its exit code."""
        return subprocess.run(self.words(*command), cwd="/", check=False).returncode

    def close(self) -> None:
        """Run nothing more."""
        self._server.kill()
        self._server.wait()


def _serve(directory: Path, owner: tuple[int, int], options: Sequence[str]) -> None:
    while True:
        for request in sorted(directory.glob("*.request")):
            _answer(request, owner, options)
        time.sleep(_POLL_S)


def _answer(request: Path, owner: tuple[int, int], options: Sequence[str]) -> None:
    from holdfast_cli.main import main

    cwd, *arguments = request.read_bytes().decode().rstrip("\0").split("\0")
    request.unlink()
    child = os.fork()
    if child == 0:
        os.chdir(cwd)
        code = main([*options, *arguments])
        sys.stdout.flush()
        os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    written = Path(cwd, arguments[-1])
    if owner != (-1, -1) and written.exists():
        os.chown(written, *owner)
    answer = request.with_suffix(".answer")
    answer.write_text(f"{code}\n")
    answer.chmod(0o666)
    answer.rename(request.with_suffix(".done"))


if __name__ == "__main__":
    import holdfast.operations.wal
    import holdfast.repository.log_archive  # noqa: F401 - forks have them already

    _serve(Path(sys.argv[1]), (int(sys.argv[2]), int(sys.argv[3])), sys.argv[4:])
