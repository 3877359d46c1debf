"""Stand-ins for mongodump and mongorestore, since no MongoDB server can be had for tests.

They speak what the real tools promise to scripts: arguments, the file of `--config`, exit codes, what
is written to standard error, and the archive with its prelude, blocks, ends and CRCs. What they
call a server is a JSON file that `--host` or the URI names:

    {"version": "7.0.1", "user": "", "password": "", "replica": true,
     "databases": {"shop": {"orders": ["text of a document", …]}}, "oplog": ["…"]}

They cannot show whether a real server is content with what the real tools do.
Source: https://github.com/mongodb/mongo-tools, common/archive, mongodump, mongorestore.
"""

from __future__ import annotations

import json
import os
import re
import struct
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

MAGIC, TERMINATOR = struct.pack("<I", 0x8199E26D), b"\xff\xff\xff\xff"


def install(directory: Path) -> None:
    """Put both programs into a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in ("mongodump", "mongorestore"):
        program = directory / name
        program.write_text(f"#!{sys.executable} -IS\n{Path(__file__).read_text()}")
        program.chmod(0o755)


def crc64(data: bytes, crc: int = 0) -> int:
    """The ECMA polynomial, as Go's hash/crc64 has it."""
    crc ^= 0xFFFFFFFFFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0xC96C5795D7870F42 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFFFFFFFFFF


def encode(fields: dict[str, Any]) -> bytes:
    """Make a BSON document of strings, booleans, numbers and nested documents."""
    body = b""
    for name, value in fields.items():
        key = name.encode() + b"\0"
        if isinstance(value, bool):
            body += b"\x08" + key + bytes([value])
        elif isinstance(value, int) and name == "CRC":
            body += b"\x12" + key + struct.pack("<Q", value)
        elif isinstance(value, int):
            body += b"\x10" + key + struct.pack("<i", value)
        elif isinstance(value, dict):
            body += b"\x03" + key + encode(value)
        else:
            text = value.encode() + b"\0"
            body += b"\x02" + key + struct.pack("<i", len(text)) + text
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def decode(document: bytes) -> dict[str, Any]:
    """Read what `encode` makes."""
    fields: dict[str, Any] = {}
    place = 4
    while document[place]:
        kind = document[place]
        stop = document.index(b"\0", place)
        name = document[place + 1 : stop].decode()
        place = stop + 1
        if kind == 0x02:
            (length,) = struct.unpack_from("<i", document, place)
            fields[name] = document[place + 4 : place + 3 + length].decode()
            place += 4 + length
        elif kind == 0x08:
            fields[name] = document[place] == 1
            place += 1
        elif kind == 0x03:
            (length,) = struct.unpack_from("<i", document, place)
            fields[name] = decode(document[place : place + length])
            place += length
        else:
            form = {0x10: "<i", 0x12: "<Q"}[kind]
            (fields[name],) = struct.unpack_from(form, document, place)
            place += struct.calcsize(form)
    return fields


def say(text: str) -> None:
    sys.stderr.write(f"2026-11-21T12:00:00.000+0000\t{text}\n")


def fail(text: str) -> None:
    say(f"Failed: {text}")
    sys.exit(1)


def connect(options: dict[str, list[str]]) -> tuple[str, dict[str, Any]]:
    """Return the path and content of what plays the server."""
    secrets = {}
    for path in options.get("config", []):
        for line in Path(path).read_text().splitlines():
            name, _, value = line.partition(": ")
            secrets[name] = json.loads(value)
    place, user = options.get("host", [""])[0], options.get("username", [""])[0]
    password = secrets.get("password", "")
    if "uri" in secrets:
        found = re.fullmatch(r"mongodb://(?:([^:]*):([^@]*)@)?stand-in(/.*)", secrets["uri"])
        assert found is not None, secrets["uri"]
        user, password, place = found[1] or "", found[2] or "", found[3]
    if not os.path.exists(place):
        fail(
            "can't create session: could not connect to server: server selection error: server "
            "selection timeout, current topology: { Servers: [{ Addr: x:1, Last error: dial tcp: "
            "connect: connection refused }, ] }"
        )
    server = json.loads(Path(place).read_text())
    if (user, password) != (server["user"], server["password"]):
        fail(
            "can't create session: could not connect to server: connection() error occurred during "
            "connection handshake: auth error: sasl conversation error: unable to authenticate using "
            'mechanism "SCRAM-SHA-256": (AuthenticationFailed) Authentication failed.'
        )
    return place, server


def contents(
    server: dict[str, Any], options: dict[str, list[str]]
) -> dict[tuple[str, str], list[str]]:
    """Return what is dumped."""
    found = {
        (database, name): documents
        for database, collections in sorted(server["databases"].items())
        for name, documents in sorted(collections.items())
        if options.get("db", [database])[0] == database
        and options.get("collection", [name])[0] == name
    }
    if "oplog" in options:
        if not server["replica"]:
            fail(
                "error getting oplog start: error getting recent oplog entry: "
                "mongo: no documents in result"
            )
        found["", "oplog"] = server["oplog"]
    return found


def dump(options: dict[str, list[str]]) -> None:
    _, server = connect(options)
    found = contents(server, options)
    if "collection" in options and not found:
        say("namespace with DB and collection does not exist")
        return
    out = sys.stdout.buffer
    parallel = int(options.get("numParallelCollections", ["4"])[0])
    out.write(MAGIC + encode({
        "concurrent_collections": parallel, "version": "0.1",
        "server_version": server["version"], "tool_version": "100.9.4",
    }))  # fmt: skip
    for database, name in found:
        kind = "" if not database else "view" if name.startswith("view") else "collection"
        out.write(encode({"db": database, "collection": name, "metadata": "{}", "size": 0,
                          "type": kind}))  # fmt: skip
    out.write(TERMINATOR)
    out.flush()
    waiting = [item for item in found.items() if not item[0][1].startswith("view")]
    while waiting:
        group, waiting = waiting[:parallel], waiting[parallel:]
        write_blocks(out, group, server)
    if server.get("dropped"):
        say(
            f"the collection `{server['dropped']}` appears to have been dropped after the dump started"
        )


def write_blocks(
    out: BinaryIO, group: list[tuple[tuple[str, str], list[str]]], server: dict[str, Any]
) -> None:
    """Write collections, by turns if there are several."""
    crcs: dict[tuple[str, str], int] = {}
    half = {key: (len(texts) + 1) // 2 if len(group) > 1 else len(texts) for key, texts in group}
    for turn in range(2 if len(group) > 1 else 1):
        for (database, name), texts in group:
            say(f"writing `{database}.{name}` to archive on stdout")
            middle = half[database, name]
            out.write(encode({"db": database, "collection": name, "EOF": False, "CRC": 0}))
            for number, text in enumerate(texts):
                if (number >= middle) == bool(turn):
                    document = encode({"_id": number, "text": text, "in": {"n": 1}})
                    crcs[database, name] = crc64(document, crcs.get((database, name), 0))
                    out.write(document)
            out.write(TERMINATOR)
            out.flush()
            time.sleep(server.get("pause", 0))
            if server.get("dies") == name:
                fail(f"error writing data for collection `{database}.{name}` to disk: EOF")
            if server.get("stops") == name:
                out.write(encode({"db": database, "collection": name})[:9])
                sys.exit(0)
    for (database, name), texts in group:
        crc = crcs.get((database, name), 0)
        out.write(
            encode({"db": database, "collection": name, "EOF": True, "CRC": crc}) + TERMINATOR
        )
        say(f"done dumping `{database}.{name}` ({len(texts)} documents)")


def documents_of(archive: bytes, place: int) -> tuple[list[bytes], int]:
    found = []
    while archive[place : place + 4] != TERMINATOR:
        (length,) = struct.unpack_from("<i", archive, place)
        found.append(archive[place : place + length])
        place += length
    return found, place + 4


def restore(options: dict[str, list[str]]) -> None:
    place, server = connect(options)
    archive = sys.stdin.buffer.read()
    if archive[:4] != MAGIC:
        fail("stream or file does not appear to be a mongodump archive")
    _, at = documents_of(archive, 4)
    found: dict[tuple[str, str], list[bytes]] = {}
    while at < len(archive):
        (header, *documents), at = documents_of(archive, at)
        fields = decode(header)
        key = fields["db"], fields["collection"]
        found.setdefault(key, []).extend(documents)
        if fields["EOF"] and fields["CRC"] != crc64(b"".join(found[key])):
            fail("corruption found in archive; CRC mismatch")
    if "oplogReplay" in options and ("nsInclude" in options or "nsFrom" in options):
        fail("cannot use --oplogReplay with includes specified")
    renamed = dict(zip(options.get("nsFrom", []), options.get("nsTo", []), strict=True))
    refused = 0
    for (database, name), documents in found.items():
        if database and f"{database}.*" in options.get("nsInclude", [f"{database}.*"]):
            new = renamed.get(f"{database}.*", database).removesuffix(".*")
            collection = server["databases"].setdefault(new, {}).setdefault(name, [])
            if "drop" in options:
                collection.clear()
            refused += len(collection)
            collection.extend(decode(document)["text"] for document in documents)
            say(f"finished restoring `{new}.{name}` ({len(documents)} documents, 0 failures)")
    if "oplogReplay" in options:
        say("replaying oplog")
        server["replayed"] = [decode(document)["text"] for document in found["", "oplog"]]
    Path(place).write_text(json.dumps(server))
    say(f"9 document(s) restored successfully. {refused} document(s) failed to restore.")


def main() -> None:
    """Do as the program of this name does."""
    options: dict[str, list[str]] = {}
    for word in sys.argv[1:]:
        name, _, value = word.removeprefix("--").partition("=")
        options.setdefault(name, []).append(value)
    if seen := os.environ.get("STAND_IN_SEEN"):  # noqa: TID251 - a program of its own
        with open(seen, "a") as file:
            file.write(" ".join(sys.argv[1:]) + "\n")
    if "version" in options:
        print("mongodump version: 100.9.4")
    elif os.path.basename(sys.argv[0]) == "mongodump":
        dump(options)
    else:
        restore(options)


if __name__ == "__main__":
    main()
