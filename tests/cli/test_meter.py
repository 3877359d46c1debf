"""Requests counted, priced and limited by options that every command has."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from holdfast.backends.meter import Count, Meter, RequestKind
from holdfast.errors import CacheError, ConfigurationError
from holdfast_cli.exit_codes import ExitCode
from holdfast_cli.main import main
from holdfast_cli.metering import load_prices
from holdfast_cli.opening import open_repository, storage_options
from holdfast_cli.options import SecretKind, SecretSource, Settings, merge_settings
from holdfast_cli.output.meter import digits_for, meter_lines
from holdfast_cli.registry import COMMANDS, build_program
from support import json_keys
from support.command_line import NOISE, Runner, environment_for_processes, run_on_terminal

KINDS = [kind.value for kind in RequestKind]
EXAMPLE = """
provider = "Example"
date = 2026-01-31
currency = "EUR"
[per_1000_requests]
put = 1000
get = 2000
head = 3000
list = 4000
delete = 5000
"""


def last_event(err: str) -> dict[str, Any]:
    """The event "meter", which is the last line."""
    event = json.loads(err.splitlines()[-1])
    assert isinstance(event, dict)
    assert event["event"] == "meter"
    return event


def metered(run: Runner, *arguments: str | Path, code: int = 0) -> dict[str, Any]:
    return last_event(run("--meter", "--json", *arguments, code=code).err)


def requests(event: dict[str, Any]) -> dict[str, int]:
    """Kind -> number, of the kinds that there were."""
    found = {kind: counted["requests"] for kind, counted in event["kinds"].items()}
    return {kind: number for kind, number in found.items() if number}


# -- the report ---------------------------------------------------------------------------------


def test_json_is_an_event_with_stable_keys(hold: Runner, source: Path) -> None:
    event = metered(hold, "backup", source)
    assert list(event) == json_keys.METER
    assert list(event["kinds"]) == KINDS
    assert all(list(counted) == json_keys.METER_KIND for counted in event["kinds"].values())
    assert event["requests"] == sum(requests(event).values())
    assert event["bytes_sent"] == event["kinds"]["put"]["bytes_sent"] > len(NOISE)
    assert event["bytes_received"] == event["kinds"]["get"]["bytes_received"] > 0
    assert event["currency"] == "USD"
    assert event["price"] == pytest.approx(sum(one["price"] for one in event["kinds"].values()))
    stored_gib = event["bytes_sent"] / (1 << 30)
    assert event["price_per_month"] == pytest.approx(stored_gib * 0.023, abs=1e-9)


def test_people_get_an_aligned_table(hold: Runner, source: Path) -> None:
    outcome = hold("backup", source, "--meter")
    assert "snapshot" in outcome.out
    assert "Requests" not in outcome.out
    title, *rows, total, basis = outcome.err.splitlines()
    assert title.split() == ["Requests", "Number", "Sent", "Received", "USD"]
    assert {len(line) for line in (title, *rows, total)} == {len(title)}
    assert [row.split()[0] for row in rows] == ["put", "get", "list", "delete"]
    numbers = [int(row.split()[1]) for row in (*rows, total)]
    assert numbers[-1] == sum(numbers[:-1]) > 5
    assert re.fullmatch(
        r"estimated by prices of AWS S3 Standard, us-east-1, \d{4}-\d\d-\d\d", basis
    )


def test_prices_come_from_a_file(
    hold: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(EXAMPLE)
    event = metered(hold, "snapshots", "--prices", path)
    of_kind = {"put": 1, "get": 2, "head": 3, "list": 4, "delete": 5}
    expected = {kind: number * of_kind[kind] for kind, number in requests(event).items()}
    assert {kind: event["kinds"][kind]["price"] for kind in expected} == expected
    assert (event["price"], event["currency"]) == (sum(expected.values()), "EUR")
    assert (event["provider"], event["prices_date"]) == ("Example", "2026-01-31")
    monkeypatch.setenv("HOLDFAST_PRICES", str(path))
    assert metered(hold, "snapshots")["currency"] == "EUR"


def test_the_default_prices_are_a_table_for_every_kind() -> None:
    table = load_prices(None)
    assert set(table.per_1000_requests) == set(KINDS)
    assert table.per_1000_requests["put"] > table.per_1000_requests["get"] > 0


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"provider = ", "is not TOML"),
        (b"\xff", "is not TOML"),
        (b"colour = 1", "unknown key colour in"),
        (EXAMPLE.replace("= 1000", "= -1").encode(), "is not a number from 0 on"),
        (None, "cannot read the file of prices"),
    ],
)
def test_a_bad_file_of_prices_is_refused_before_anything_happens(
    hold: Runner, tmp_path: Path, source: Path, content: bytes | None, complaint: str
) -> None:
    path = tmp_path / "prices.toml"
    if content is not None:
        path.write_bytes(content)
    outcome = hold("backup", source, "--meter", "--prices", path, code=2)
    assert complaint in outcome.err
    assert str(path) in outcome.err
    assert outcome.err.count("\n") == 1
    assert hold("snapshots", "--json").document == []


def test_a_name_in_a_file_of_prices_gives_no_orders_to_the_terminal(
    hold: Runner, tmp_path: Path
) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(EXAMPLE.replace("Example", "\\u001b[31m").replace("EUR", "\\u0007"))
    err = hold("snapshots", "--meter", "--prices", path).err
    assert "\x1b" not in err
    assert "\x07" not in err
    assert "\\x1b[31m" in err


def test_without_the_option_nothing_is_said(hold: Runner) -> None:
    assert hold("snapshots", "--max-requests", "100").err == "no snapshots\n"


def test_a_command_without_storage_made_no_requests(run: Runner) -> None:
    assert run("version", "--meter").err == "no requests to the storage\n"
    assert metered(run, "version")["requests"] == 0


@pytest.mark.parametrize(
    ("price", "text"),
    [
        (0.0, "0.00"), (4e-7, "0.00000040"), (1e-12, "0.000000000"), (0.000066, "0.000066"),
        (0.0999, "0.100"), (0.1, "0.10"), (3.14159, "3.14"), (1234.5, "1234.50"),
    ],
)  # fmt: skip
def test_two_digits_of_a_price_are_shown(price: float, text: str) -> None:
    assert f"{price:.{digits_for(price)}f}" == text


def test_what_storing_costs_is_told_if_it_is_worth_it() -> None:
    lines = meter_lines({"put": Count(1, 100 << 30, 0)}, load_prices(None))
    assert lines[-1].endswith("; keeping what was sent costs 2.30 USD a month")


# -- every end of a command ---------------------------------------------------------------------


def test_the_report_is_the_last_line_of_a_failure(hold: Runner) -> None:
    outcome = hold("--json", "--meter", "ls", "1234", code=1)
    error, event = (json.loads(line) for line in outcome.err.splitlines())
    assert error["event"] == "error"
    assert last_event(outcome.err) == event
    assert event["requests"] > 0


def test_the_report_comes_after_wrong_usage_of_a_command_as_well(hold: Runner) -> None:
    complaint, report = hold("--meter", "forget", code=2).err.splitlines()
    assert complaint.startswith("holdfast: ")
    assert report == "no requests to the storage"


def test_an_interrupted_command_reports(hold: Runner) -> None:
    command = [sys.executable, "-m", "holdfast_cli", *hold.base, "--meter", "--json", "backup"]
    process = subprocess.Popen(
        [*command, "--stdin", "--stdin-filename", "dump"],
        env=environment_for_processes(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()  # it has begun, and waits for its input
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == ExitCode.INTERRUPTED
    error, event = (json.loads(line) for line in err.splitlines())
    assert error["error"] == "Interrupted"
    assert event["event"] == "meter"
    assert event["requests"] > 0


# -- options ------------------------------------------------------------------------------------


def all_commands() -> Iterator[list[str]]:
    program = build_program()
    context = program.make_context("holdfast", [], resilient_parsing=True)
    for name in COMMANDS:
        command = program.get_command(context, name)
        if isinstance(command, click.Group):
            yield from ([name, inner] for inner in command.commands)
        else:
            yield [name]


def test_every_command_knows_the_options(run: Runner, tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(EXAMPLE)
    options = ["--meter", "--prices", str(path), "--max-requests", "9"]
    options += ["--limit-upload", "1M", "--limit-download", "1M"]
    for words in all_commands():
        code = 126 if words == ["wal-fetch"] else 2  # PostgreSQL must not go on without its file
        outcome = run(*words, *options, "--no-such-option", code=code)
        assert "no such option '--no-such-option'" in outcome.err, words


def test_options_win_over_variables() -> None:
    environment = {
        "HOME": "/h",
        "HOLDFAST_PRICES": "/env",
        "HOLDFAST_MAX_REQUESTS": "10",
        "HOLDFAST_LIMIT_UPLOAD": "1M",
        "HOLDFAST_LIMIT_DOWNLOAD": "2M",
    }
    settings = merge_settings({"max_requests": "7", "limit_upload": "3K"}, environment)
    assert (settings.prices, settings.max_requests) == ("/env", 7)
    assert (settings.limit_upload, settings.limit_download) == (3 << 10, 2 << 20)
    settings = merge_settings({"prices": "/option"}, dict.fromkeys(environment, ""))
    assert settings.prices == "/option"
    assert settings.max_requests is settings.limit_upload is settings.limit_download is None


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("max_requests", "0", "is less than 1; leave it out for no limit"),
        ("max_requests", "-5", ": '-5' is not a number; write digits, like 10000"),
        ("max_requests", "1K", ": '1K' is not a number; write digits, like 10000"),
        ("max_requests", "9" * 5000, "is not a number; write digits, like 10000"),
        ("limit_upload", "0", "is less than 1; leave it out for no limit"),
        ("limit_upload", "0.2", "is less than 1; leave it out for no limit"),
        ("limit_download", "fast", ": 'fast' is not a size; write a number with K, M, G or T"),
    ],
)
def test_limits_that_make_no_sense_are_named(name: str, value: str, complaint: str) -> None:
    option, variable = f"--{name.replace('_', '-')}", f"HOLDFAST_{name.upper()}"
    with pytest.raises(ConfigurationError) as caught:
        merge_settings({name: value}, {"HOME": "/h"})
    assert str(caught.value).startswith(option)
    assert complaint in str(caught.value)
    with pytest.raises(ConfigurationError) as caught:
        merge_settings({}, {"HOME": "/h", variable: value})
    assert str(caught.value).startswith(variable)


def test_bandwidth_is_limited(hold: Runner, source: Path, tmp_path: Path) -> None:
    began = time.monotonic()
    hold("backup", source, "--limit-upload", "256K")
    backed_up = time.monotonic()
    hold("restore", "latest", "--target", tmp_path / "target", "--limit-download", "256K")
    restored = time.monotonic()
    least_s = len(NOISE) / (256 << 10) - 0.15  # some time may be made up for, and the last piece
    assert backed_up - began > least_s
    assert restored - backed_up > least_s


# -- --max-requests -----------------------------------------------------------------------------


def test_a_backup_ends_where_it_may_not_go_on_and_the_next_one_completes(
    hold: Runner, source: Path
) -> None:
    outcome = hold("backup", source, "--max-requests", "3", code=27)
    assert "after 3 requests to the storage" in outcome.err
    assert outcome.err.count("\n") == 1
    hold("backup", source)
    assert len(hold("snapshots", "--json").document) == 1


def test_wherever_a_backup_is_stopped_the_next_one_completes(
    hold: Runner, source: Path, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    for limit in range(1, 40):
        repository, cache = tmp_path / f"r{limit}", tmp_path / f"c{limit}"
        shutil.copytree(tmp_path / "repository", repository)
        here = hold.with_base("-r", repository, "--cache-dir", cache, "--json")
        arguments = ["backup", str(source), "--meter", "--max-requests", str(limit)]
        capsysbinary.readouterr()
        code = main([*here.base, *arguments])
        lines = [json.loads(line) for line in capsysbinary.readouterr().err.splitlines()]
        if code == ExitCode.SUCCESS:
            break
        error, event = lines
        assert code == error["exit_code"] == ExitCode.REQUEST_LIMIT
        assert (error["error"], error["reason"]) == ("RequestLimitError", str(limit))
        assert event["requests"] == limit
        complete = here("backup", source).events[-1]["snapshot"]
        assert complete in [one["id"] for one in here("snapshots").document]
        assert here("check", "--read-data").events[-1]["ok"]
    (event,) = lines
    assert event["requests"] <= limit
    assert limit > 10


def test_a_limit_holds_for_all_that_a_command_opens(run: Runner, tmp_path: Path) -> None:
    runner = run.with_base("-r", tmp_path / "r", "--key-file", tmp_path / "key")
    event = metered(runner, "init", "--recovery")  # opens what it has created
    limit = str(event["requests"] - 1)
    runner = run.with_base("-r", tmp_path / "s", "--key-file", tmp_path / "key")
    runner("init", "--recovery", "--max-requests", limit, code=27)


def test_repositories_opened_one_after_another_are_counted_together(
    hold: Runner, run: Runner, source: Path, tmp_path: Path, key_file: Path
) -> None:
    hold("backup", source)
    other = tmp_path / "other"
    run.with_base("-r", other, "--key-file", key_file)("init")
    meter = Meter()
    settings = Settings(
        repository=str(tmp_path / "repository"),
        secret=SecretSource(SecretKind.KEY_FILE, str(key_file)),
        cache_dir=str(tmp_path / "empty-cache"),
        counter=meter,
    )
    with open_repository(settings) as one:
        alone = meter.requests
        with open_repository(settings, location=str(other)) as two:
            assert (two.backend.location, one.backend.location) == (str(other), settings.repository)
            assert meter.requests == 2 * alone > 0


# -- opening ------------------------------------------------------------------------------------


def test_opening_with_a_key_looks_for_nothing_before_it_reads(hold: Runner) -> None:
    counts = requests(metered(hold, "cat", "config"))
    assert "head" not in counts
    assert sum(counts.values()) <= 3  # config, the list of key slots, the slot


def test_where_a_person_is_asked_there_is_a_look_first(tmp_path: Path) -> None:
    base = ["--cache-dir", str(tmp_path / "c"), "-r", str(tmp_path / "absent")]
    code, seen = run_on_terminal([*base, "snapshots"], [b"never typed\n"])
    assert code == ExitCode.NO_REPOSITORY
    assert b"Password" not in seen


def test_no_repository_is_worse_news_than_no_key(run: Runner, tmp_path: Path) -> None:
    runner = run.with_base("-r", tmp_path / "absent", "--key-file", tmp_path / "no-key")
    assert "no repository at" in runner("snapshots", code=10).err


def test_scratch_files_lie_below_the_cache_and_belong_to_us(tmp_path: Path) -> None:
    cache = tmp_path / "new" / "cache"
    settings = Settings(cache_dir=str(cache), limit_upload=5, limit_download=6, counter=Meter())
    options = storage_options(settings, str(tmp_path / "repository"))
    assert options.scratch_directory is None
    assert not cache.exists()  # a directory needs none
    options = storage_options(settings, "s3://bucket/prefix")
    assert options.scratch_directory == str(cache / "scratch")
    assert {path.stat().st_mode & 0o777 for path in (cache, cache / "scratch")} == {0o700}
    assert (options.upload_bytes_per_s, options.download_bytes_per_s) == (5, 6)
    assert options.meter is settings.counter
    assert storage_options(settings, "s3://bucket/prefix") == options  # it may be there
    assert storage_options(Settings(), "s3://bucket/prefix").scratch_directory is None


def test_a_place_that_cannot_hold_scratch_files_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    settings = Settings(cache_dir=str(tmp_path / "file"))
    with pytest.raises(CacheError, match=r"file/scratch cannot be used: (file exists|not a dir)"):
        storage_options(settings, "s3://bucket/prefix")
