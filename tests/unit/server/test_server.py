"""The server as its clients see it, over real connections."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from holdfast.backends.memory import MemoryBackend
from holdfast.errors import ListenError
from holdfast.server.access import Access
from holdfast.server.app import FileServer
from holdfast.server.http_server import http_server
from holdfast.vfs import filesystem
from holdfast.vfs.filesystem import SnapshotFiles
from support.archives import read_tar, read_zip, tar_content
from support.repos import back_up, copy_store, new_store, open_repository, random_files
from support.serving import DAV, Site, serving

NOISE = random_files(3, [3_000_000])[b"d0/f3-0"]
NAMES = {
    "colon": b"a:b",
    "markup": b"<b>&\"'",
    "octets": b"\xe9\xff",
    "control": b"\x1b[31m\n",
    "percent": b"100%25 #?",
    "text": "ünïcode".encode(),
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files, odd names, and links that lead everywhere."""
    root = tmp_path_factory.mktemp("source") / "top"
    base = os.fsencode(root)
    os.makedirs(base + b"/odd/sub")
    for name in NAMES.values():
        with open(base + b"/odd/" + name, "wb") as file:
            file.write(name)
    (root / "big").write_bytes(NOISE)
    (root / "empty").touch()
    (root / "page.html").write_text("<script>alert(1)</script>")
    os.mkfifo(root / "fifo")
    links = {
        "to file": "big", "to folder": "odd", "to itself": "to itself", "up": "..",
        "dangling": "nowhere", "secret": "/etc/passwd", "far up": "../" * 40 + "etc/passwd",
        "absolute": f"{root}/page.html", "around": f"../../../../../..{root}/empty",
    }  # fmt: skip
    for link, target in links.items():
        (root / link).symlink_to(target)
    time.sleep(0.03)
    return root


@pytest.fixture(scope="module")
def store(source: Path, tmp_path_factory: pytest.TempPathFactory) -> MemoryBackend:
    store = new_store()
    with open_repository(store, tmp_path_factory.mktemp("cache")) as repository:
        back_up(repository, source, tags=("nightly",))
    return store


@pytest.fixture(scope="module")
def running(
    store: MemoryBackend, source: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    with serving(store, tmp_path_factory.mktemp("cache")) as site:
        site.root = "/latest" + quote(str(source))
        yield site


@pytest.fixture
def site(running: Site) -> Site:
    """One server for all, that remembers nothing of the tests before."""
    for log in (running.problems, running.findings, running.requests):
        log.clear()
    return running


def local_names(site: Site, path: str) -> set[str]:
    """Names that PROPFIND shows in a folder."""
    hrefs = site.listing(path)
    return {
        href.rstrip("/").rpartition("/")[2]
        for href in hrefs
        if href.rstrip("/") != path.rstrip("/")
    }


# -- folders ----------------------------------------------------------------------------------


def test_the_view_is_one_tree(site: Site) -> None:
    page = site.ask("/").body.decode()
    for name in ("snapshots/", "hosts/", "tags/", "paths/", "ids/", "latest"):
        assert f'href="./{name}"' in page
    assert 'href="?archive' not in page
    assert site.ask("/tags/nightly/latest/").status == 200
    assert site.ask("/hosts/host/latest").headers["Location"] == "/hosts/host/latest/"


def test_a_page_shows_any_name_harmlessly_and_leads_to_it(site: Site) -> None:
    answer = site.ask(f"{site.root}/odd/")
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    page = answer.body.decode()
    assert "<b>" not in page
    assert "&lt;b&gt;&amp;" in page
    assert "\x1b" not in page
    assert "\\x1b[31m\\x0a" in page
    for name in NAMES.values():
        link = quote(name)
        assert f'href="./{link}"' in page
        assert site.ask(f"{site.root}/odd/{link}").body == name
    assert 'href="./sub/"' in page


def test_webdav_shows_any_name_and_leads_to_it(site: Site, source: Path) -> None:
    listing = site.listing(f"{site.root}/odd/")
    assert set(listing) == {
        f"{site.root}/odd/", f"{site.root}/odd/sub/",
        *(f"{site.root}/odd/{quote(name)}" for name in NAMES.values()),
    }  # fmt: skip
    for href, element in listing.items():
        is_folder = element.find(f".//{DAV}collection") is not None
        assert is_folder == href.endswith("/")
        if not is_folder:
            assert element.findtext(f".//{DAV}getcontentlength") == str(len(site.ask(href).body))
    size = site.listing(f"{site.root}/big", "0")[f"{site.root}/big"]
    assert size.findtext(f".//{DAV}getetag") == site.ask(f"{site.root}/big").headers["ETag"]
    modified = size.findtext(f".//{DAV}getlastmodified")
    moment = time.gmtime((source / "big").stat().st_mtime)
    assert modified == time.strftime("%a, %d %b %Y %H:%M:%S GMT", moment)


def test_webdav_answers_what_is_asked(site: Site) -> None:
    start = b'<?xml version="1.0"?><propfind xmlns="DAV:" xmlns:z="urn:z&amp;">'
    path = f"{site.root}/empty"

    def ask(inner: bytes) -> bytes:
        return site.ask(path, "PROPFIND", start + inner + b"</propfind>", Depth="0").body

    assert b"200 OK" not in ask(b"<prop><z:unknown/></prop>")
    both = ask(b"<prop><getcontentlength/><z:unknown/></prop>")
    assert b"<D:getcontentlength>0</D:getcontentlength>" in both
    assert b'<x:unknown xmlns:x="urn:z&amp;"/></D:prop><D:status>HTTP/1.1 404' in both
    assert b"displayname" not in both
    assert b"<D:getcontentlength/>" in ask(b"<propname/>")
    assert b"<D:displayname>empty</D:displayname>" in ask(b"<allprop/>")


@pytest.mark.parametrize(
    "body",
    [
        b"<no", b"<a/>", b'<propfind xmlns="DAV:"/>', b"\xff\xfe",
        b'<!DOCTYPE a [<!ENTITY b "b">]><propfind xmlns="DAV:"><allprop/></propfind>',
        b'<?xml version="1.0" encoding="klingon"?><propfind xmlns="DAV:"><allprop/></propfind>',
    ],
)  # fmt: skip
def test_what_is_no_propfind_is_refused(site: Site, body: bytes) -> None:
    assert site.ask("/", "PROPFIND", body, Depth="0").status == 400


def test_webdav_lists_no_whole_tree_at_once(site: Site) -> None:
    for depth in ("infinity", "2"):
        answer = site.ask("/", "PROPFIND", Depth=depth)
        assert answer.status == 403
        assert b"propfind-finite-depth" in answer.body
    assert site.ask("/", "PROPFIND").status == 403
    assert site.ask("/", "PROPFIND", b" " * 70_000, Depth="0").status == 413


def test_nothing_can_be_changed(site: Site) -> None:
    for method in ("PUT", "DELETE", "MKCOL", "MOVE", "LOCK", "PROPPATCH", "POST"):
        answer = site.ask(f"{site.root}/big", method, b"x")
        assert answer.status == 405, method
        assert answer.headers["Allow"] == "OPTIONS, GET, HEAD, PROPFIND"
    options = site.ask("/", "OPTIONS")
    assert (options.status, options.headers["DAV"]) == (200, "1")


# -- links ------------------------------------------------------------------------------------


def test_links_are_followed_in_the_snapshot_and_never_out_of_it(site: Site) -> None:
    def status(name: str) -> int:
        return site.ask(f"{site.root}/{quote(name)}").status

    assert site.ask(f"{site.root}/to%20file").body == NOISE
    assert site.ask(f"{site.root}/to%20folder/{quote(NAMES['text'])}").status == 200
    assert site.ask(f"{site.root}/absolute").body == b"<script>alert(1)</script>"
    assert status("around") == 200
    assert status("up/") == 200
    assert [status(name) for name in ("dangling", "to itself", "secret", "far up")] == [404] * 4
    assert site.ask(f"{site.root}/up/up/up/up/up/up/up/up/etc/passwd").status == 404
    assert site.ask(f"{site.root}/fifo").status == 403


def test_webdav_shows_links_to_files_as_files_and_no_circles(site: Site) -> None:
    shown = local_names(site, site.root)
    assert {"to%20file", "absolute", "around", "big"} <= shown
    assert (
        not {"to%20folder", "up", "dangling", "to%20itself", "secret", "far%20up", "fifo"} & shown
    )
    listing = site.listing(site.root)
    element = listing[f"{site.root}/to%20file"]
    assert element.findtext(f".//{DAV}getcontentlength") == str(len(NOISE))
    assert "latest" in local_names(site, "/")
    assert "/latest/" in site.listing("/")


@pytest.mark.parametrize(
    "path",
    [
        "/../etc/passwd", "/%2e%2e/etc/passwd", "/latest/../../etc/passwd", "/etc/passwd",
        "/latest/%2Fetc/passwd", "/proc/self/environ", "/latest/./../..", "/..", "/latest/%00",
        "/latest/" + "a/" * 5000, "/latest\\..\\..",
    ],
)  # fmt: skip
def test_nothing_of_this_machine_is_reached(site: Site, path: str) -> None:
    answer = site.ask(path)
    assert answer.status in (400, 404, 413, 414), answer
    assert b"root:" not in answer.body


def test_redirects_lead_to_no_other_host(site: Site) -> None:
    for path in ("//latest", "//evil.example/..", "/latest//.", "//latest/."):
        answer = site.ask(path)
        location = answer.headers.get("Location", "/x")
        assert location.startswith("/"), path
        assert not location.startswith("//"), path


# -- files ------------------------------------------------------------------------------------


def test_ranges(site: Site) -> None:
    path = f"{site.root}/big"
    size = len(NOISE)
    for header, start, end in (
        ("bytes=0-0", 0, 1), ("bytes=5-", 5, size), ("bytes=-7", size - 7, size),
        ("bytes=1000000-2500000", 1_000_000, 2_500_001), (f"bytes={size - 1}-{size + 9}", size - 1, size),
        (f"bytes=-{size * 2}", 0, size),
    ):  # fmt: skip
        answer = site.ask(path, Range=header)
        assert (answer.status, answer.body) == (206, NOISE[start:end]), header
        assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{size}"
    for header in ("bytes=5-2", "bytes=-", "octets=1-2", "bytes=0-1,3-4", "bytes=x-", "bytes=0-1x"):
        answer = site.ask(path, Range=header)
        assert (answer.status, answer.body) == (200, NOISE), header
    for header in (f"bytes={size}-", "bytes=-0", f"bytes={10**17}-"):
        answer = site.ask(path, Range=header)
        assert (answer.status, answer.headers["Content-Range"]) == (416, f"bytes */{size}")
    assert site.ask(f"{site.root}/empty", Range="bytes=0-").status == 416
    assert site.ask(f"{site.root}/empty").body == b""


def test_unchanged_files_are_not_sent_again(site: Site) -> None:
    path = f"{site.root}/big"
    first = site.ask(path, "HEAD")
    tag, modified = first.headers["ETag"], first.headers["Last-Modified"]
    assert (first.body, first.headers["Content-Length"]) == (b"", str(len(NOISE)))
    assert site.ask(path, If_None_Match=f'"x", W/{tag}').status == 304
    assert site.ask(path, If_None_Match='"x"').status == 200
    assert site.ask(path, If_Modified_Since=modified).status == 304
    assert site.ask(path, If_Modified_Since="Mon, 01 Jan 2001 00:00:00 GMT").status == 200
    assert site.ask(path, If_Modified_Since="yesterday").status == 200
    assert site.ask(path, If_Match='"x"').status == 412
    assert site.ask(path, If_Match=tag).status == 200
    assert site.ask(path, Range="bytes=0-1", If_Range=tag).status == 206
    assert site.ask(path, Range="bytes=0-1", If_Range='"x"').status == 200
    assert site.ask(f"{site.root}/empty").headers["ETag"] != tag


def test_files_run_no_scripts(site: Site) -> None:
    answer = site.ask(f"{site.root}/page.html")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_archives_of_folders(site: Site) -> None:
    answer = site.ask(f"{site.root}/?archive=tar")
    assert answer.headers["Content-Type"] == "application/x-tar"
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="top.tar"')
    assert tar_content(answer.body, "top/big") == NOISE
    assert read_tar(answer.body)["top/secret"].linkname == "/etc/passwd"
    assert site.findings == []
    found = read_zip(site.ask(f"{site.root}?archive=zip").body)
    assert found["top/empty"] == b""
    assert [finding.problem for finding in site.findings] == [
        "left out: a zip archive cannot hold a fifo"
    ]
    whole = read_tar(site.ask("/latest/?archive=tar").body)
    assert any(name.endswith("/top/big") for name in whole)
    one = site.ask(f"{site.root}/odd/{quote(NAMES['text'])}?archive=tar")
    assert "filename*=UTF-8''%C3%BCn" in one.headers["Content-Disposition"]
    assert list(read_tar(one.body)) == [NAMES["text"].decode()]
    assert site.ask(f"{site.root}/?archive=tar", "HEAD").body == b""
    assert site.ask(f"{site.root}/?archive=rar").status == 400
    assert site.ask("/snapshots/?archive=tar").status == 403


def test_new_snapshots_appear(
    store: MemoryBackend, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filesystem, "REFRESH_S", 0.0)
    growing = copy_store(store)
    with serving(growing, tmp_path / "cache") as site:
        assert len(site.listing("/ids/")) == 2
        with open_repository(growing, tmp_path / "other") as repository:
            back_up(repository, source / "odd", host="other")
        assert len(site.listing("/ids/")) == 3
        assert site.ask("/hosts/other/latest/").status == 200


# -- who ----------------------------------------------------------------------------------------


def test_without_a_password_other_hosts_are_refused(site: Site) -> None:
    assert site.ask("/", Host="evil.example").status == 403
    assert site.ask("/", Host="localhost:1").status == 200


def test_a_password(store: MemoryBackend, tmp_path: Path) -> None:
    with serving(store, tmp_path / "cache", {"anna": "secret"}) as site:
        refused = site.ask("/")
        assert (refused.status, refused.headers["WWW-Authenticate"][:5]) == (401, "Basic")
        assert b"snapshots" not in refused.body
        assert site.ask("/", "PROPFIND", Depth="1").status == 401
        assert site.ask("/", "OPTIONS").status == 401
        header = "Basic YW5uYTpzZWNyZXQ="
        assert site.ask("/", Authorization=header, Host="any.example").status == 200
        assert site.ask("/", Authorization="Basic YW5uYTp3cm9uZw==").status == 401
        assert [status for _, _, status in site.requests] == [401, 401, 401, 200, 401]


def test_an_address_that_is_taken(store: MemoryBackend, tmp_path: Path) -> None:
    with (
        socket.socket() as taken,
        open_repository(store, tmp_path) as repository,
        SnapshotFiles(repository) as files,
    ):
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = taken.getsockname()
        app = FileServer(files, Access({}))
        with (
            pytest.raises(ListenError, match="address already in use; choose another"),
            http_server(address, app, lambda _: None),
        ):
            raise AssertionError("it listens")


# -- what goes wrong ------------------------------------------------------------------------------


def hurt(store: MemoryBackend) -> MemoryBackend:
    """Return a copy of the store in which slices in the middle of `big` are damaged."""
    hurt = MemoryBackend()
    for info in store.list(""):
        data = bytearray(store.read(info.name))
        if info.name.startswith("packs/") and len(data) > 500_000:
            data[len(data) // 2] ^= 1
        hurt.create(info.name, bytes(data))
    return hurt


def test_damaged_files_are_errors(store: MemoryBackend, source: Path, tmp_path: Path) -> None:
    with serving(hurt(store), tmp_path / "cache") as site:
        root = "/latest" + quote(str(source))
        answer = site.ask(f"{root}/big")
        assert answer.broken or answer.status == 500
        assert len(answer.body) < len(NOISE)
        assert "is damaged" in site.problems[-1]
        assert site.ask(f"{root}/page.html").status == 200
        archive = site.ask(f"{root}/?archive=tar")
        assert not archive.broken
        assert b"top/big: left out" in tar_content(archive.body, "HOLDFAST-DAMAGE.txt")
        assert site.findings[0].path.endswith("/top/big")


def test_storage_that_went_away_is_told(store: MemoryBackend, tmp_path: Path, source: Path) -> None:
    copy = copy_store(store)
    with serving(copy, tmp_path / "cache") as site:
        for info in list(copy.list("packs/")):
            copy.delete(info.name)
        answer = site.ask("/latest" + quote(str(source)) + "/big")
        assert answer.status in (500, 503)
        assert site.problems


def test_many_at_once(site: Site) -> None:
    bodies: list[bytes] = []

    def download() -> None:
        bodies.append(site.ask(f"{site.root}/big").body)
        bodies.append(tar_content(site.ask(f"{site.root}/?archive=tar").body, "top/big"))

    threads = [threading.Thread(target=download) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bodies == [NOISE] * 8


def test_clients_that_go_away_are_no_defects(site: Site) -> None:
    port = int(site.server.url.rstrip("/").rpartition(":")[2])
    for path in (f"{site.root}/big", f"{site.root}/?archive=zip"):
        for _ in range(6):
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                assert connection.recv(100)
    for _ in range(100):
        # All archives that were begun have ended, so that others can be made.
        if site.ask(f"{site.root}/?archive=tar").status == 200:
            break
        time.sleep(0.05)
    else:
        raise AssertionError("archives are never given up")
