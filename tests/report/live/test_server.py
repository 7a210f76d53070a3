"""The live page's server: only who has the token, only the report's files, only reading."""

import hashlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from begun_studies import end_trial, write_begun_study
from narrowing import not_none
from report_searches import write_json, write_regime_2
from report_studies import study_record

from rust_tuner.errors import StorageError
from rust_tuner.locks import hold_lock
from rust_tuner.report.live import server as live
from rust_tuner.report.live.server import LiveServer


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = write_begun_study(tmp_path / "study")
    (folder / "report" / "figures").mkdir(parents=True)
    (folder / "report" / "index.html").write_text("<p>the report</p>")
    (folder / "report" / "figures" / "regime_1.svg").write_text("<svg></svg>")
    (folder / "report" / ".lock").write_text("")
    (folder / "secret.csv").write_text("patient\n")
    return folder


@pytest.fixture
def server(study: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveServer]:
    monkeypatch.setattr(live, "SECONDS_BETWEEN_LOOKS", 0.05)
    opened = LiveServer(study)
    with opened.running():
        yield opened


def ask(
    server: LiveServer,
    path: str = "",
    *,
    method: str = "GET",
    host: list[str] | None = None,
    token: str | None = None,
    raw: str | None = None,
) -> tuple[int, dict[str, str], str]:
    """Status, headers and content of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=300)
    connection.putrequest(
        method,
        raw if raw is not None else f"/{token or server.token}/{path}",
        skip_host=True,
        skip_accept_encoding=True,
    )
    hosts = [f"127.0.0.1:{server.server_port}"] if host is None else host
    for name in hosts:
        connection.putheader("Host", name)
    connection.endheaders()
    answer = connection.getresponse()
    content = answer.read().decode(errors="replace")
    connection.close()
    return answer.status, dict(answer.getheaders()), content


def test_it_listens_on_loopback_alone_at_a_free_port_with_a_long_token(server: LiveServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    assert server.server_port > 0
    assert len(server.token) >= 32
    assert server.url == f"http://127.0.0.1:{server.server_port}/{server.token}/"


def test_the_page_shows_progress_best_and_curves(server: LiveServer) -> None:
    status, headers, page = ask(server)
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    for part in ("Regime I", "3 of 8", "AUROC, visible cortices 0.604", "batch size", "<polyline"):
        assert part in page
    assert "stopped at 3 of 8 trials" in page
    assert "rust-tuner regime1" in page
    assert 'href="report/index.html"' in page


@pytest.mark.parametrize("raw", ["/", "", "/wrong/", "/report/index.html", "//", "/%ff/", "*"])
def test_without_the_token_everything_is_refused(server: LiveServer, raw: str) -> None:
    status, _, content = ask(server, raw=raw or "/")
    assert status == 403
    assert content == "403 Forbidden\n"


def test_a_part_of_the_token_or_a_longer_one_is_refused(server: LiveServer) -> None:
    for token in (server.token[:-1], f"{server.token}x", server.token.swapcase()):
        assert ask(server, token=token)[0] == 403


@pytest.mark.parametrize(
    "host",
    [
        [],
        ["evil.example"],
        ["127.0.0.1"],
        ["127.0.0.1:1"],
        ["127.0.0.1.evil.example:{port}"],
        ["localhost:{port}", "evil.example"],
        ["[::1]:{port}"],
    ],
)
def test_a_request_for_another_host_is_refused(server: LiveServer, host: list[str]) -> None:
    names = [name.format(port=server.server_port) for name in host]
    assert ask(server, host=names)[0] == 403


def test_localhost_is_this_host(server: LiveServer) -> None:
    assert ask(server, host=[f"localhost:{server.server_port}"])[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "X"])
def test_only_reading_methods_are_answered(server: LiveServer, method: str) -> None:
    status, headers, _ = ask(server, method=method)
    assert status == 405
    assert headers["Allow"] == "GET, HEAD"


def test_head_has_the_headers_alone(server: LiveServer) -> None:
    for path in ("", "report/index.html", "events"):
        status, _, content = ask(server, path, method="HEAD")
        assert (status, content) == (200, "")


def test_files_of_the_report_are_served_and_may_do_nothing(server: LiveServer) -> None:
    status, headers, content = ask(server, "report/index.html")
    assert (status, content) == (200, "<p>the report</p>")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    status, headers, _ = ask(server, "report/figures/regime_1.svg")
    assert status == 200
    assert headers["Content-Type"].startswith("image/svg+xml")
    assert "sandbox" in headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "path",
    [
        "study.json",
        "secret.csv",
        "report",
        "report/",
        "report/figures",
        "report/.lock",
        "report/../secret.csv",
        "report/figures/../../secret.csv",
        "report/%2e%2e/secret.csv",
        "report/..%2fsecret.csv",
        "report/..%5csecret.csv",
        "report//index.html",
        "report/index.html%00.csv",
        "report/missing.csv",
        "report/index.html/",
        "regime_1/search.json",
        "report/" + "a" * 5000 + ".csv",
    ],
)
def test_nothing_else_is_served(server: LiveServer, path: str) -> None:
    assert ask(server, path)[0] == 404


def test_no_symbolic_link_leads_out(server: LiveServer, study: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.csv").write_text("patient\n")
    (study / "report" / "link.csv").symlink_to(tmp_path / "outside.csv")
    (study / "report" / "up").symlink_to(tmp_path)
    (study / "report" / "beside.csv").symlink_to(study / "secret.csv")
    (study / "report" / "inside.html").symlink_to(study / "report" / "index.html")
    for path in ("report/link.csv", "report/up/outside.csv", "report/beside.csv"):
        assert ask(server, path)[0] == 404
    assert ask(server, "report/inside.html")[0] == 200
    shutil.rmtree(study / "report")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "index.html").write_text("patient")
    (study / "report").symlink_to(tmp_path / "elsewhere")
    assert ask(server, "report/index.html")[0] == 404


def test_a_name_of_a_study_shows_as_text(tmp_path: Path) -> None:
    folder = tmp_path / "<script>x<b>"
    write_json(folder / "study.json", study_record())
    opened = LiveServer(folder)
    with opened.running():
        page = ask(opened)[2]
    assert "<script>x" not in page
    assert "&lt;script&gt;x" in page
    assert "No trial has a score yet" in page


class Stream:
    """The events of a page."""

    def __init__(self, server: LiveServer) -> None:
        self._socket = socket.create_connection(("127.0.0.1", server.server_port), timeout=300)
        request = f"GET /{server.token}/events HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}"
        self._socket.sendall(f"{request}\r\n\r\n".encode())
        self._file = self._socket.makefile("rb")
        self.status = self._file.readline()
        while self._file.readline().strip():
            pass

    def next(self) -> Any:
        """The next part of the page, if it comes before many signs of life without one."""
        for _ in range(40):
            line = self._file.readline()
            assert line, "the stream has ended"
            if line.startswith(b"data: "):
                return json.loads(line.removeprefix(b"data: "))
        raise AssertionError("the stream has no new part")

    def close(self) -> None:
        self._file.close()
        self._socket.close()


def test_a_trial_that_ends_is_sent_to_the_page(server: LiveServer, study: Path) -> None:
    stream = Stream(server)
    assert "3 of 8" in stream.next()
    end_trial(study, 3)
    part = stream.next()
    while "4 of 8" not in part:
        part = stream.next()
    assert "0003" in part
    stream.close()


def test_pages_that_were_closed_leave_room_at_once(
    server: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "HEARTBEAT", 3600.0)
    for _ in range(live.MOST_STREAMS + 2):
        stream = Stream(server)
        assert b"200" in stream.status
        stream.next()
        stream.close()


def test_too_many_pages_at_once_are_refused(server: LiveServer) -> None:
    streams = [Stream(server) for _ in range(live.MOST_STREAMS)]
    assert all(b"200" in stream.status for stream in streams)
    assert ask(server, "events")[0] == 503
    for stream in streams:
        stream.close()


def digests(folder: Path) -> dict[str, tuple[str, int]]:
    return {
        str(path.relative_to(folder)): (
            hashlib.sha256(path.read_bytes()).hexdigest(),
            path.stat().st_mtime_ns,
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_it_works_beside_held_locks_and_writes_nothing(study: Path) -> None:
    write_regime_2(study / "regime_2")
    with hold_lock(study, "Regime I"), hold_lock(study / "report", "writing the report"):
        before = digests(study)
        opened = LiveServer(study)
        with opened.running():
            for path in ("", "report/index.html"):
                assert ask(opened, path)[0] == 200
        assert digests(study) == before


def test_a_port_that_is_taken_is_an_error_that_says_what_to_do(
    server: LiveServer, study: Path
) -> None:
    with pytest.raises(StorageError, match=r"leave out --port"):
        LiveServer(study, port=server.server_port)


def test_streams_end_with_the_server(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = LiveServer(study)
    # At once, and not at the next sign of life.
    monkeypatch.setattr(live, "HEARTBEAT", 3600.0)
    with opened.running():
        stream = Stream(opened)
        stream.next()
    with pytest.raises((AssertionError, ConnectionError)):
        stream.next()
    stream.close()
    with pytest.raises(OSError, match=r"."):
        socket.create_connection(("127.0.0.1", opened.server_port), timeout=300)


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_the_command_says_its_address_and_ends_cleanly(study: Path, sign: signal.Signals) -> None:
    started = subprocess.Popen(
        [sys.executable, "-m", "rust_tuner", "watch", str(study), "--no-browser"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    url = not_none(started.stdout).readline().strip()
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(not_none(parts.hostname), parts.port, timeout=300)
    connection.request("GET", quote(parts.path))
    assert connection.getresponse().status == 200
    connection.close()
    started.send_signal(sign)
    rest, text = started.communicate(timeout=300)
    assert started.returncode == 0
    assert rest == ""
    assert "Ctrl-C ends it" in text
    assert "Traceback" not in text
    assert parts.path not in text


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_is_not_waited_for(server: LiveServer, study: Path) -> None:
    (study / "report").mkdir(exist_ok=True)
    os.mkfifo(study / "report" / "pipe.html")
    assert ask(server, "report/pipe.html")[0] == 404
