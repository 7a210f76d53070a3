"""A small web server on this machine's loopback address alone, for the live page of a study.

It reads the study and writes nothing. A request needs the token in its address, and the name of
this server as its host, so that neither another user of the machine nor a page of another site in
the same browser can read the study (https://owasp.org/www-community/attacks/DNS_Rebinding).
"""

import contextlib
import json
import mimetypes
import os
import secrets
import select
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from rust_tuner.analysis.live import fingerprint, live_view
from rust_tuner.errors import StorageError
from rust_tuner.report.live.page import live_page, live_part, script_policy, unreadable_part

LOOPBACK = "127.0.0.1"
_REPORT = "report"
# What a report consists of; other files of its folder, such as locks, are not shown.
_TYPES = {".html", ".svg", ".png", ".csv", ".md"}
# A report's page brings its own, stricter policy; other files may do nothing.
_REPORT_POLICY = "frame-ancestors 'none'"
_FILE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"
SECONDS_BETWEEN_LOOKS = 2.0
# Reading the records takes at most this share of the time, so that a search is not slowed down.
_SHARE = 0.05
HEARTBEAT = 15.0
# The server looks this often whether it is to end, for which Ctrl-C waits.
_SECONDS_BETWEEN_POLLS = 0.05
MOST_STREAMS = 8


class Watcher:
    """Looks at a study from time to time, and keeps the part of the page that changes."""

    def __init__(self, directory: Path) -> None:
        """Watch a study's folder."""
        self.directory = directory
        self._changed = threading.Condition()
        self._version = 0
        self._part = ""
        self._is_closed = False
        # Before each look: what changes while it looks is seen the next time.
        self._seen: int | None = fingerprint(directory)
        self._look()

    def run(self) -> None:
        """Look until closed."""
        pause = SECONDS_BETWEEN_LOOKS
        while not self._wait(pause):
            start = time.process_time()
            try:
                state = fingerprint(self.directory)
                if state == self._seen:
                    continue
                self._seen = state
                self._look()
            except Exception as error:
                # Such as a network share that is away: it is read when it is there again. Whatever
                # it is, the page says it, and does not stand still without a word.
                self._seen = None
                self._show(unreadable_part(error))
            pause = max(SECONDS_BETWEEN_LOOKS, (time.process_time() - start) / _SHARE)

    def close(self) -> None:
        """Stop looking, and end every stream."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def page(self) -> str:
        """The whole page as it is now."""
        try:
            part = live_part(self.directory, live_view(self.directory))
        except Exception as error:
            part = unreadable_part(error)
        return live_page(self.directory, part)

    def parts(self) -> Iterator[str | None]:
        """The part that changes, now and after each change; None from time to time without one."""
        seen = -1
        while True:
            with self._changed:
                if self._version == seen and not self._is_closed:
                    self._changed.wait(HEARTBEAT)
                if self._is_closed:
                    return
                is_new, seen, part = self._version != seen, self._version, self._part
            yield part if is_new else None

    def _wait(self, seconds: float) -> bool:
        """Whether it was closed within so many seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._is_closed, seconds)

    def _look(self) -> None:
        self._show(live_part(self.directory, live_view(self.directory)))

    def _show(self, part: str) -> None:
        with self._changed:
            if part != self._part:
                self._part, self._version = part, self._version + 1
                self._changed.notify_all()


class LiveServer(ThreadingHTTPServer):
    """The server of a study's live page.

    Attributes:
        token: what the address of every request contains.
        watcher: reads the study.
        streams: the connections of the streams that are open.
    """

    daemon_threads = True
    # Ends without waiting for streams; they end with the process.
    block_on_close = False

    def __init__(self, directory: Path, *, port: int = 0, token: str | None = None) -> None:
        """Bind to the loopback address.

        Args:
            directory: the study's folder.
            port: 0 for one that is free.
            token: a random one if None.

        Raises:
            StorageError: if the port cannot be used.
        """
        self.token = token or secrets.token_urlsafe(24)
        self.watcher = Watcher(directory)
        self.streams: set[socket.socket] = set()
        self._streams_lock = threading.Lock()
        try:
            super().__init__((LOOPBACK, port), _Handler)
        except OSError as error:
            raise StorageError(
                f"port {port} cannot be used ({error.strerror or error}); leave out --port to use "
                "one that is free"
            ) from error

    @property
    def url(self) -> str:
        """The address of the live page."""
        return f"http://{LOOPBACK}:{self.server_port}/{self.token}/"

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Serve in the background; ends at once when left."""
        threads = [
            threading.Thread(target=work, daemon=True)
            for work in (lambda: self.serve_forever(_SECONDS_BETWEEN_POLLS), self.watcher.run)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.watcher.close()
            self.shutdown()
            self.server_close()
            for thread in threads:
                thread.join()

    @contextlib.contextmanager
    def streaming(self, connection: socket.socket) -> Iterator[bool]:
        """Whether there is room for one more stream, which is open until the block ends."""
        with self._streams_lock:
            # A page that was closed is noticed only by the next event that is sent to it.
            has_room = sum(map(_is_open, self.streams)) < MOST_STREAMS
            if has_room:
                self.streams.add(connection)
        try:
            yield has_room
        finally:
            with self._streams_lock:
                self.streams.discard(connection)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a browser may end a connection at any time."""


class _Handler(BaseHTTPRequestHandler):
    server: LiveServer
    server_version = "rust-tuner"
    sys_version = ""
    # Seconds for a client to send its request or take an answer.
    timeout = 30

    def do_GET(self) -> None:
        """Answer with the page, its stream, or a file of the report."""
        self._answer()

    def do_HEAD(self) -> None:
        """As GET, without the content."""
        self._answer()

    def __getattr__(self, name: str) -> Callable[[], None]:
        """What every other method is answered with, such as POST, which might change something."""
        if not name.startswith("do_"):
            raise AttributeError(name)
        return lambda: self._send(HTTPStatus.METHOD_NOT_ALLOWED, allow="GET, HEAD")

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing: addresses contain the token."""

    def _answer(self) -> None:
        path = self._path()
        if path is None or not self._is_for_us():
            self._send(HTTPStatus.FORBIDDEN)
        elif path == "":
            self._send_text(self.server.watcher.page())
        elif path == "events":
            self._stream()
        else:
            self._send_file(path)

    def _path(self) -> str | None:
        """The path after the token; None without the right token."""
        try:
            parts = unquote(urlsplit(self.path).path, errors="strict").split("/", 2)
        except ValueError:
            return None
        if len(parts) != 3 or parts[0]:
            return None
        is_right = secrets.compare_digest(parts[1].encode(), self.server.token.encode())
        return parts[2] if is_right else None

    def _is_for_us(self) -> bool:
        """Whether the browser was asked for this server, not for a name that leads here."""
        port = self.server.server_port
        hosts = self.headers.get_all("Host", [])
        return len(hosts) == 1 and hosts[0] in (f"{LOOPBACK}:{port}", f"localhost:{port}")

    def _send_file(self, path: str) -> None:
        content = _content_of(self.server.watcher.directory, path)
        if content is None:
            self._send(HTTPStatus.NOT_FOUND)
            return
        suffix = Path(path).suffix
        kind = mimetypes.guess_type(f"file{suffix}")[0] or "text/plain"
        kind = "text/plain" if suffix == ".md" else kind
        policy = _REPORT_POLICY if suffix == ".html" else _FILE_POLICY
        charset = "" if suffix == ".png" else "; charset=utf-8"
        self._send(HTTPStatus.OK, content, kind=f"{kind}{charset}", policy=policy)

    def _send_text(self, text: str) -> None:
        self._send(HTTPStatus.OK, text.encode(), kind="text/html; charset=utf-8")

    def _stream(self) -> None:
        """Send the part that changes, as server-sent events, until either side ends."""
        if self.command == "HEAD":
            self._send(HTTPStatus.OK)
            return
        with self.server.streaming(self.connection) as has_room:
            if has_room:
                self._send_events()
            else:
                self._send(HTTPStatus.SERVICE_UNAVAILABLE)

    def _send_events(self) -> None:
        try:
            self.send_response(HTTPStatus.OK)
            self._send_headers("text/event-stream; charset=utf-8", script_policy())
            self.end_headers()
            for part in self.server.watcher.parts():
                # JSON has no line break, which would end the event.
                message = ": still here" if part is None else f"data: {json.dumps(part)}"
                event = "" if part is None else "event: view\n"
                self.wfile.write(f"{event}{message}\n\n".encode())
                self.wfile.flush()
        except OSError:
            # The browser has gone.
            self.close_connection = True

    def _send(
        self,
        status: HTTPStatus,
        content: bytes = b"",
        *,
        kind: str = "text/plain; charset=utf-8",
        policy: str = "",
        allow: str = "",
    ) -> None:
        content = content or f"{status.value} {status.phrase}\n".encode()
        with contextlib.suppress(OSError):
            self.send_response(status)
            self._send_headers(kind, policy or script_policy())
            self.send_header("Content-Length", str(len(content)))
            if allow:
                self.send_header("Allow", allow)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

    def _send_headers(self, kind: str, policy: str) -> None:
        for name, value in (
            ("Content-Type", kind),
            ("Content-Security-Policy", policy),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Cache-Control", "no-store"),
        ):
            self.send_header(name, value)


def _is_open(connection: socket.socket) -> bool:
    """Whether the other side has not closed a connection on which it says nothing more."""
    try:
        return not select.select([connection], [], [], 0)[0] or bool(
            connection.recv(1, socket.MSG_PEEK)
        )
    except (OSError, ValueError):
        return False


def _content_of(directory: Path, path: str) -> bytes | None:
    """A file of the report; None if there is none, or it lies elsewhere."""
    parts = path.split("/")
    is_plain = all(part and not part.startswith(".") for part in parts)
    if parts[0] != _REPORT or not is_plain or any(sign in path for sign in ("\0", "\\", ":")):
        return None
    try:
        study = directory.resolve(strict=True)
        file = (directory / path).resolve(strict=True)
        # No symbolic link leads out, not even that of the report's own folder.
        if not file.is_relative_to(study / _REPORT) or file.suffix not in _TYPES:
            return None
        # A named pipe is not waited for.
        flags = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        descriptor = os.open(file, os.O_RDONLY | flags)
        with open(descriptor, "rb") as stream:
            is_file = stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
            return stream.read() if is_file else None
    except (OSError, ValueError, RuntimeError):
        return None
