"""Global options and environment variables, merged into frozen `Settings`.

The only module that reads the environment. An option of the command line wins over a variable;
of the secrets exactly one counts, and two at the same level are refused rather than ranked.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

import click

from holdfast.errors import ConfigurationError
from holdfast.units import parse_size

if TYPE_CHECKING:
    from holdfast.backends.meter import Meter

COMPLETION_VARIABLE: Final = "_HOLDFAST_COMPLETE"
_GIVEN: Final = "holdfast_cli.given"
_MOST_DIGITS: Final = 18


class SecretKind(Enum):
    """Where a secret comes from. Names and values are those of the variables and options."""

    PASSWORD = None
    PASSWORD_FILE = "--password-file"  # noqa: S105 - the name of an option
    PASSWORD_COMMAND = "--password-command"  # noqa: S105
    KEY_FILE = "--key-file"
    RECOVERY_FILE = "--recovery-file"


@dataclass(frozen=True, slots=True)
class SecretSource:
    """One way to a secret: a file, a command, or the password itself."""

    kind: SecretKind
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the global options and the environment say together."""

    repository: str | None = None
    secret: SecretSource | None = None
    """None: ask on the terminal."""
    cache_dir: str | None = None
    """None: neither named nor derivable, because there is no home directory."""
    json: bool = False
    quiet: bool = False
    verbosity: int = 0
    debug: bool = False
    """Show details of defects."""
    meter: bool = False
    """Tell at the end what the requests cost."""
    prices: str | None = None
    """File of prices; None: the one that comes with holdfast."""
    max_requests: int | None = None
    limit_upload: int | None = None
    """Most bytes sent to the storage per second; None: no limit."""
    limit_download: int | None = None
    serve_password: str | None = field(default=None, repr=False)
    """Who asks `serve-files` for something must know it."""
    counter: Meter | None = field(default=None, repr=False, compare=False)
    """Counts the requests of this run to all its repositories; None: nobody wants to know."""


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Keep a global option's value for the whole command line; the last one given wins."""
    if value is None or value is False or value == 0:
        return
    given: dict[str, Any] = context.meta.setdefault(_GIVEN, {})
    name = str(parameter.name)
    given[name] = given.get(name, 0) + value if name == "verbose" else value


_GLOBAL_OPTIONS: Final[tuple[tuple[tuple[str, ...], dict[str, Any], str], ...]] = (
    (("-r", "--repository"), {"metavar": "LOCATION"},
     "The repository: a path, file:///path or s3://bucket/prefix. [HOLDFAST_REPOSITORY]"),
    (("--password-file",), {"metavar": "FILE"},
     "Take the password from the first line of FILE. [HOLDFAST_PASSWORD_FILE]"),
    (("--password-command",), {"metavar": "COMMAND"},
     "Take the password from the output of COMMAND. [HOLDFAST_PASSWORD_COMMAND]"),
    (("--key-file",), {"metavar": "FILE"},
     "Open the repository with a key file. [HOLDFAST_KEY_FILE]"),
    (("--recovery-file",), {"metavar": "FILE"},
     "Open the repository with the recovery words in FILE. [HOLDFAST_RECOVERY_FILE]"),
    (("--cache-dir",), {"metavar": "DIR"},
     "Keep the local cache in DIR, not in ~/.cache/holdfast. [HOLDFAST_CACHE_DIR]"),
    (("--json",), {"is_flag": True},
     "Write JSON with stable keys instead of text."),
    (("-q", "--quiet"), {"is_flag": True},
     "Write results and errors only: no progress, no notes."),
    (("-v", "--verbose"), {"count": True},
     "Write more; twice shows details of defects."),
    (("--meter",), {"is_flag": True},
     "Tell at the end how many requests were made and what they cost."),
    (("--prices",), {"metavar": "FILE"},
     "Take prices for --meter and benchmark from FILE. [HOLDFAST_PRICES]"),
    (("--max-requests",), {"metavar": "N"},
     "Stop after N requests to the storage. [HOLDFAST_MAX_REQUESTS]"),
    (("--limit-upload",), {"metavar": "SIZE"},
     "Send at most SIZE a second to the storage. [HOLDFAST_LIMIT_UPLOAD]"),
    (("--limit-download",), {"metavar": "SIZE"},
     "Receive at most SIZE a second from the storage. [HOLDFAST_LIMIT_DOWNLOAD]"),
)  # fmt: skip


class InheritedOption(click.Option):
    """A global option after a command's name: understood and completed, explained elsewhere."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:  # noqa: ARG002
        """Keep it out of the command's help."""
        return None


def global_options(option_class: type[click.Option] = click.Option) -> list[click.Option]:
    """Return fresh options that every command understands, before or after its name."""
    return [
        option_class(names, **kind, help=text, expose_value=False, callback=_remember)
        for names, kind, text in _GLOBAL_OPTIONS
    ]


def read_settings(context: click.Context) -> Settings:
    """Merge the options given so far with the environment.

    Raises:
        ConfigurationError: options that exclude each other.
    """
    return merge_settings(context.meta.get(_GIVEN, {}), read_environment())


def named_repository(context: click.Context) -> str | None:
    """Return the location that the command line names with -r; a variable does not count."""
    location = context.meta.get(_GIVEN, {}).get("repository")
    return str(location) if location else None


def read_environment() -> Mapping[str, str]:
    """Return a copy of the environment, so that a run sees one state of it."""
    return dict(os.environ)  # noqa: TID251 - this is the one reader that the rule protects


def prefer_libfuse3() -> None:
    """Have mfusepy load libfuse 3 where both are installed; its own first choice is libfuse 2."""
    os.environ.setdefault("FUSE_LIBRARY_NAME", "fuse3")  # noqa: TID251 - its only way to be told


def merge_settings(given: Mapping[str, Any], environment: Mapping[str, str]) -> Settings:
    """Merge options of the command line with variables; empty variables count as unset.

    Raises:
        ConfigurationError: options that exclude each other.
    """
    verbosity = int(given.get("verbose", 0))
    quiet = bool(given.get("quiet"))
    if quiet and verbosity:
        raise ConfigurationError(
            "--quiet and --verbose exclude each other", "give only one of them"
        )
    return Settings(
        repository=given.get("repository") or environment.get("HOLDFAST_REPOSITORY") or None,
        secret=_choose_secret(given, environment),
        cache_dir=given.get("cache_dir")
        or environment.get("HOLDFAST_CACHE_DIR")
        or default_cache_dir(environment),
        json=bool(given.get("json")),
        quiet=quiet,
        verbosity=verbosity,
        debug=verbosity >= 2 or bool(environment.get("HOLDFAST_DEBUG")),
        meter=bool(given.get("meter")),
        prices=given.get("prices") or environment.get("HOLDFAST_PRICES") or None,
        max_requests=_read_limit("max_requests", _parse_count, given, environment),
        limit_upload=_read_limit("limit_upload", parse_size, given, environment),
        limit_download=_read_limit("limit_download", parse_size, given, environment),
        serve_password=environment.get("HOLDFAST_SERVE_PASSWORD") or None,
    )


def merge_source_settings(
    settings: Settings, given: Mapping[str, Any], environment: Mapping[str, str]
) -> Settings:
    """Return the settings of a second repository, which a command reads from.

    The variables are HOLDFAST_FROM_REPOSITORY, HOLDFAST_FROM_PASSWORD,
    HOLDFAST_FROM_PASSWORD_FILE, HOLDFAST_FROM_PASSWORD_COMMAND, HOLDFAST_FROM_KEY_FILE and
    HOLDFAST_FROM_RECOVERY_FILE.

    Args:
        settings: of the first one; all but location and secret are the same.
        given: values of --from as `repository` and of --from-password-file and its like as
            `password_file` and its like.
        environment: of the process.

    Raises:
        ConfigurationError: no location, or options that exclude each other.
    """
    location = given.get("repository") or environment.get("HOLDFAST_FROM_REPOSITORY")
    if not location:
        raise ConfigurationError(
            "no repository to copy from was named",
            "give one with --from LOCATION or in HOLDFAST_FROM_REPOSITORY",
        )
    secret = _choose_secret(given, environment, prefix="from")
    return replace(settings, repository=location, secret=secret)


def _read_limit(
    name: str,
    parse: Callable[[str], int],
    given: Mapping[str, Any],
    environment: Mapping[str, str],
) -> int | None:
    """Return a limit, from 1 on; an error names the option or variable that it came from."""
    variable = f"HOLDFAST_{name.upper()}"
    if name in given:
        text, origin = str(given[name]), f"--{name.replace('_', '-')}"
    elif environment.get(variable):
        text, origin = environment[variable], variable
    else:
        return None
    try:
        limit = parse(text)
    except ConfigurationError as error:
        raise ConfigurationError(f"{origin}: {error.what}", error.hint) from error
    if limit < 1:
        raise ConfigurationError(f"{origin} is less than 1", "leave it out for no limit")
    return limit


def _parse_count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise ConfigurationError(f"{text!r} is not a number", "write digits, like 10000")
    return int(text)


def _choose_secret(
    given: Mapping[str, Any], environment: Mapping[str, str], prefix: str = ""
) -> SecretSource | None:
    option = f"--{prefix}-" if prefix else "--"
    variable = f"HOLDFAST_{prefix.upper()}_" if prefix else "HOLDFAST_"
    options = {
        kind: given.get(kind.name.lower()) for kind in SecretKind if kind is not SecretKind.PASSWORD
    }
    variables = {kind: environment.get(variable + kind.name) for kind in SecretKind}
    for level, where in ((options, "options"), (variables, "environment variables")):
        sources = [SecretSource(kind, value) for kind, value in level.items() if value]
        if len(sources) > 1:
            names = " and ".join(
                f"{option}{str(source.kind.value)[2:]}"
                if level is options
                else variable + source.kind.name
                for source in sources
            )
            raise ConfigurationError(
                f"the {where} {names} exclude each other", "give one source of the password or key"
            )
        if sources:
            return sources[0]
    return None


def default_cache_dir(environment: Mapping[str, str]) -> str | None:
    """Return where caches are unless something else is said; None without a home directory."""
    base = environment.get("XDG_CACHE_HOME", "")
    if not base.startswith("/"):  # the XDG specification: relative paths are invalid, ignore them
        home = environment.get("HOME") or os.path.expanduser("~")
        if not home.startswith("/"):
            return None
        base = os.path.join(home, ".cache")
    return os.path.join(base, "holdfast")
