"""backup-db, binlog-push and restore-db on a real MariaDB server, as a person runs them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from holdfast_cli.exit_codes import ExitCode
from support.command_line import Runner
from support.json_keys import BINLOG_PUSH
from support.mariadb import PASSWORD, is_missing, mariadb_server

pytestmark = pytest.mark.skipif(is_missing() is not None, reason=is_missing() or "")


def test_from_a_backup_to_a_second_before_the_accident(hold: Runner, tmp_path: Path) -> None:
    options = tmp_path / "my.cnf"
    with mariadb_server("--log-bin=mysql-bin") as server:
        options.write_text(f"[client]\nsocket={server.socket}\nuser=root\npassword='{PASSWORD}'\n")
        login = ("--set", f"defaults-file={options}")
        saved = hold("--json", "backup-db", "mariadb", "--method", "physical", *login).events[-1]
        assert saved["properties"]["log_kind"] == "binlog"
        server.sql(
            "CREATE DATABASE shop; CREATE TABLE shop.t (a INT); INSERT INTO shop.t VALUES (7)"
        )
        time.sleep(1.01)
        moment = server.sql("SELECT DATE_FORMAT(UTC_TIMESTAMP(), '%Y-%m-%dT%H:%i:%sZ')")
        server.sql("DROP DATABASE shop")

        pushed = hold("--json", "binlog-push", "--flush", *login).document
        assert list(pushed) == BINLOG_PUSH
        assert pushed["pushed"] == ["mysql-bin.000001"]
        told = hold("binlog-push", *login).out
        assert "archived 0 binary logs (0 B), 1 were archived already" in told

        target = tmp_path / "restored"
        restore = ("restore-db", "latest", "--target", target, *login)
        assert "mysql-bin.000001" in hold(*restore, "--target-time", moment, "--dry-run").out
        assert not target.exists()
        assert "log_bin a new name" in hold(*restore, "--target-time", moment).out
        hold(*restore, "--to-end", code=ExitCode.NOT_EMPTY)
        assert "mysql-bin.000001" in hold("logs").out

        server.sql("FLUSH BINARY LOGS; FLUSH BINARY LOGS")
        server.purge_logs("mysql-bin.000003")
        gap = hold("binlog-push", *login, code=ExitCode.LOG_GAP)
        assert "mysql-bin.000002 was removed" in gap.err
        server.sql("RESET MASTER")
        hold("binlog-push", *login, code=ExitCode.LOG_CONFLICT)
        wrong = tmp_path / "wrong.cnf"
        wrong.write_text(options.read_text().replace(PASSWORD, "another"))
        refused = hold("binlog-push", "--set", f"defaults-file={wrong}", code=ExitCode.NO_LOGIN)
        assert "another" not in refused.err
    down = hold("binlog-push", *login, code=ExitCode.NO_SERVER)
    assert "start it, or correct --db-host" in down.err
    assert "mariadb-client" in hold("binlog-push", "--tools", tmp_path, code=ExitCode.NO_TOOL).err
    with mariadb_server(data=target) as restored:
        assert restored.sql("SELECT a FROM shop.t") == "7"
