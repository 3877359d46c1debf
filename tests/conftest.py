"""For all tests: a clean environment and how hard hypothesis tries."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from support import ceph
from support.buckets import Bucket, new_bucket, set_credentials

settings.register_profile("dev", max_examples=50, derandomize=True, deadline=None)
settings.register_profile("ci", max_examples=200, derandomize=True, deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "dev")  # noqa: TID251 - tests are the edge

for _number in (signal.SIGINT, signal.SIGHUP):
    # Started by nohup, or in the background of a script, this process ignores them, and so would the
    # programs that tests interrupt: an endless backup fills the disk then.
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, signal.SIG_DFL)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Golden files are written anew on request only."""
    parser.addoption("--update-golden", action="store_true", help="write golden files anew")


@pytest.fixture(scope="session")
def empty_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home directory without anything in it."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, empty_home: Path) -> None:
    """No test sees the user's home, settings, time zone or language."""
    for name in list(os.environ):  # noqa: TID251
        if name.startswith(("HOLDFAST_", "_HOLDFAST_", "XDG_", "LC_", "AWS_", "BOTO")):
            monkeypatch.delenv(name)
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LANGUAGE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(empty_home / "no-such-file"))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(empty_home))
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("TZ", "UTC")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ceph.Cluster]:
    """A real S3 server that all processes of this run share; skips where Ceph is not installed."""
    if reason := ceph.is_missing():
        pytest.skip(reason)
    directory = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # noqa: TID251 - workers share what is above
        directory = directory.parent
    with ceph.shared_cluster(directory / "ceph") as cluster:
        yield cluster


@pytest.fixture
def bucket(cluster: ceph.Cluster, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """An empty bucket on the real server, with its owner's credentials in the environment."""
    set_credentials(monkeypatch)
    return new_bucket(cluster)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what model and simulations have explored; reports bring it, also from xdist's workers.

    Here and not beside them: a process that only hands out tests reads no other conftest.
    """
    total: Counter[str] = Counter()
    states = 0
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, ()):
            properties = dict(report.user_properties)
            total.update(properties.get("simulation", {}))
            states += properties.get("states", 0)
    if states:
        terminalreporter.write_line(f"model: {states:,} states")
    if total:
        figures = ", ".join(f"{number:,} {name}" for name, number in total.items())
        terminalreporter.write_line(f"simulation: {figures}")
