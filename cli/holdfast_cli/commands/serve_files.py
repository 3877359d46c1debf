"""`holdfast serve-files`: show all snapshots over WebDAV and HTTP."""

from __future__ import annotations

import importlib
import os
import stat
from typing import TYPE_CHECKING, Any, Final

import click

from holdfast.errors import ConfigurationError, HoldfastError, MissingExtraError
from holdfast.findings import Finding
from holdfast.policy.selection import SnapshotFilter
from holdfast_cli.app import App, pass_app
from holdfast_cli.exit_codes import ExitCode
from holdfast_cli.memory import share_heaps
from holdfast_cli.opening import open_repository
from holdfast_cli.output.names import printable
from holdfast_cli.snapshot_options import filter_options

if TYPE_CHECKING:
    from holdfast.server.access import Access

_HELP: Final = """Show all snapshots over WebDAV and HTTP, read-only, until Ctrl-C.

For machines without FUSE: open the address in a browser, or in a file manager as a network
drive. The tree is that of `holdfast mount`. A browser can get any folder as a tar or zip archive.

On 127.0.0.1 no password is needed, and every user of this machine can read what is served. On
any other address one is: in HOLDFAST_SERVE_PASSWORD, or in a file with lines NAME:PASSWORD.
The connection is not encrypted: over networks that others use, send it through SSH
(ssh -L 8080:localhost:8080 server) or a web server that speaks HTTPS.

\b
Examples:
  holdfast serve-files
  holdfast serve-files --listen 127.0.0.1:0 --host web
  HOLDFAST_SERVE_PASSWORD=… holdfast serve-files --listen 0.0.0.0:8080 --user anna
"""

_USER: Final = "holdfast"
_MOST_USERS_LENGTH: Final = 1 << 20


@click.command("serve-files", help=_HELP)
@click.option(
    "--listen",
    metavar="HOST:PORT",
    default="127.0.0.1:8080",
    show_default=True,
    help="Address to listen on; port 0 takes one that is free.",
)
@click.option(
    "--user",
    metavar="NAME",
    help="Name that belongs to HOLDFAST_SERVE_PASSWORD.  [default: holdfast]",
)
@click.option(
    "--auth-file", metavar="FILE", help="Take names and passwords from FILE, lines NAME:PASSWORD."
)
@filter_options
@pass_app
def command(
    app: App, wanted: SnapshotFilter, listen: str, user: str | None, auth_file: str | None
) -> int:
    """Serve until an interruption."""
    server = _load_server()
    address = server.parse_address(listen)
    access = _read_access(app, user, auth_file)
    if not access.needs_password and not _is_loopback(address[0]):
        raise _open_to_all(address[0])
    share_heaps()
    # Imported here: they load what only the extra brings, or only this command needs.
    from holdfast.server.app import FileServer
    from holdfast.vfs.filesystem import SnapshotFiles

    def tell_request(method: str, path: str, status: int) -> None:
        if app.output.verbosity and not app.output.json:
            app.output.note(f"{method} {path} {status}")

    def tell_finding(finding: Finding) -> None:
        app.output.warn(f"{printable(finding.path)}: {finding.problem}")

    with (
        open_repository(app.settings) as repository,
        SnapshotFiles(repository, wanted=wanted, on_problem=_teller(app)) as files,
        server.http_server(
            address,
            FileServer(files, access, on_request=tell_request, on_finding=tell_finding),
            app.output.warn,
        ) as listening,
    ):
        if not access.needs_password and not listening.is_local:
            raise _open_to_all(listen)
        _announce(app, listening.url, access)
        try:
            listening.serve()
        except KeyboardInterrupt:
            app.output.note("stopped")
    return ExitCode.SUCCESS


def _load_server() -> Any:
    """Import what runs the server.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return importlib.import_module("holdfast.server.http_server")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "cheroot":
            raise
        raise MissingExtraError("serving files", "serve") from error


def _read_access(app: App, user: str | None, auth_file: str | None) -> Access:
    """Return who may read.

    Raises:
        ConfigurationError: two sources of passwords, a name without one, or no usable file.
    """
    from holdfast.server.access import Access, parse_users

    password = app.settings.serve_password
    if auth_file is None:
        if user is not None and password is None:
            raise ConfigurationError(
                "--user was given and no password", "set HOLDFAST_SERVE_PASSWORD"
            )
        if user is not None and (not user or ":" in user):
            raise ConfigurationError(f"{user!r} is no name", "write one without a colon")
        return Access({} if password is None else {user or _USER: password})
    if password is not None or user is not None:
        raise ConfigurationError(
            "--auth-file and --user or HOLDFAST_SERVE_PASSWORD exclude each other",
            "give only one of them",
        )
    return Access(parse_users(_read_users(auth_file)))


def _read_users(path: str) -> str:
    try:
        with open(path, "rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise ConfigurationError(f"{path} can be read by others", f"run: chmod 600 {path}")
            return file.read(_MOST_USERS_LENGTH).decode("utf-8", "surrogateescape")
    except OSError as error:
        reason = (error.strerror or "unknown error").lower()
        raise ConfigurationError(f"cannot read the file of users {path}: {reason}") from error


def _is_loopback(host: str) -> bool:
    from holdfast.server.access import is_loopback

    return is_loopback(host)


def _open_to_all(address: str) -> ConfigurationError:
    return ConfigurationError(
        f"without a password files are served on this machine only, and {address} is reachable "
        "from others",
        "set HOLDFAST_SERVE_PASSWORD, give --auth-file, or leave --listen out",
    )


def _teller(app: App) -> Any:
    def tell(path: str, error: HoldfastError) -> None:
        app.output.warn(f"{printable(path)}: {error}")

    return tell


def _announce(app: App, url: str, access: Access) -> None:
    """Say that the server listens, at once also into a pipe."""
    if app.output.json:
        app.output.event("listening", url=url, password=access.needs_password)
        return
    app.output.line(f"serving snapshots at {url}; Ctrl-C ends it")
    app.output.flush()
    if not access.needs_password:
        app.output.note("no password is asked for: every user of this machine can read them")
