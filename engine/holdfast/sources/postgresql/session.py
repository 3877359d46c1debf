"""A psql that stays: for what lasts as long as a connection, like a replication slot."""

from __future__ import annotations

import secrets

from holdfast.closing import Closing
from holdfast.database_errors import ToolFailedError
from holdfast.sources.postgresql.connection import Connection


class Session(Closing):
    """A connection that stays open.

    Args:
        connection: to which server.
        database: to which database of it.

    Raises:
        DatabaseError: it cannot be reached.
    """

    def __init__(self, connection: Connection, database: str) -> None:
        self._connection = connection
        self._end = f"end-{secrets.token_hex(8)}"
        words = connection.psql(database, "-f", "-")
        self._tool = connection.start(words, stdin=True, encoding="UTF8")

    def run(self, statement: str) -> str:
        """Run statements and return their rows as lines, columns joined by `|`.

        Raises:
            DatabaseError: the server does not accept them, or is gone.
        """
        # psql reads on when the statement is done: what it prints next is the end of the answer.
        try:
            self._tool.write(f"{statement};\n\\echo {self._end}\n".encode())
            self._tool.flush()
            lines: list[bytes] = []
            for line in self._tool.stdout:
                if line.rstrip(b"\n") == self._end.encode():
                    return b"".join(lines).decode("utf-8", "backslashreplace").rstrip("\n")
                lines.append(line)
            self._tool.finish()
        except ToolFailedError as error:
            raise self._connection.explain(error) from error
        raise ToolFailedError("psql", "it ended in the middle of a session")

    def close(self) -> None:
        """Break the connection off."""
        self._tool.close()
