"""A headless Chromium driven over its DevTools protocol, through pipes: no network, no driver.

https://chromedevtools.github.io/devtools-protocol/
"""

import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
)
_PATIENCE = 180.0


def find_browser() -> str | None:
    """The path of a Chromium, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Page:
    """One page of a browser of its own; a context manager that ends it.

    Attributes:
        requests: address of everything that the page asked for.
        complaints: what the console and the browser complained of.
        dialogs: texts of the dialogs that opened.
    """

    def __init__(self, profile: Path) -> None:
        """Start a browser with a profile in the new folder `profile`."""
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.dialogs: list[str] = []
        self._number, self._rest = 0, b""
        self._answers: dict[int, dict[str, Any]] = {}
        self._events: set[str] = set()
        pipes = [os.pipe(), os.pipe()]
        # Copies that are out of the way of 3 and 4, which the protocol reads from and writes to.
        theirs = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (pipes[0][0], pipes[1][1])]
        self._write, self._read = pipes[0][1], pipes[1][0]
        self._process = subprocess.Popen(
            [
                "bash",
                "-c",
                f'exec "$0" "$@" 3<&{theirs[0]} 4>&{theirs[1]}',
                find_browser(),  # type: ignore[list-item]
                *_FLAGS,
                f"--user-data-dir={profile}",
                "about:blank",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=theirs,
        )
        for end in (*theirs, pipes[0][0], pipes[1][1]):
            os.close(end)
        self._session = None
        (target,) = [
            item for item in self.call("Target.getTargets")["targetInfos"] if item["type"] == "page"
        ]
        attached = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._write)
        os.close(self._read)

    def open(self, path: Path) -> None:
        """Load a file and wait until it is there."""
        self.visit(path.resolve().as_uri())

    def visit(self, url: str) -> None:
        """Load an address and wait until it is there."""
        self._events.discard("Page.loadEventFired")
        self.call("Page.navigate", url=url)
        self._wait(lambda: "Page.loadEventFired" in self._events)

    def show(
        self, *, width: int, height: int = 900, dark: bool = False, media: str = "screen"
    ) -> None:
        """Give the window a size and a colour scheme."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1}
        self.call("Emulation.setDeviceMetricsOverride", mobile=width < 600, **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        found = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def call(self, method: str, **parameters: Any) -> Any:
        """Call a method of the protocol; its result."""
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        self._wait(lambda: number in self._answers)
        answer = self._answers.pop(number)
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]

    def _wait(self, is_done: Callable[[], bool]) -> None:
        end = time.monotonic() + _PATIENCE
        while not is_done():
            ready, _, _ = select.select([self._read], [], [], max(0, end - time.monotonic()))
            assert ready, "the browser does not answer"
            chunk = os.read(self._read, 1 << 20)
            assert chunk, "the browser has ended"
            *messages, self._rest = (self._rest + chunk).split(b"\0")
            for message in messages:
                self._take(json.loads(message))

    def _take(self, message: Any) -> None:
        if "id" in message:
            self._answers[message["id"]] = message
            return
        method, text = message["method"], message["params"]
        self._events.add(method)
        if method == "Network.requestWillBeSent":
            self.requests.append(text["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(text["exceptionDetails"]["text"])
        elif method == "Runtime.consoleAPICalled":
            self.complaints.append(str(text["args"]))
        elif method == "Log.entryAdded":
            self.complaints.append(text["entry"]["text"])
        elif method == "Page.javascriptDialogOpening":
            self.dialogs.append(text["message"])
