"""A headless Chromium, driven over its pipe with the standard library alone."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars")


class Browser:
    """One page of a browser: what it is told, and what was seen of it (`requests`, addresses; `errors`, of the script
    and the console)."""

    def __init__(self, folder: Path) -> None:
        assert PROGRAM is not None
        to_read, self._to = os.pipe()
        self._from, to_write = os.pipe()
        # The browser reads its file 3 and writes its file 4; neither end may lie there already.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (to_read, to_write)]
        started = f"import os, sys; os.dup2({ends[0]}, 3); os.dup2({ends[1]}, 4); os.execv(sys.argv[1], sys.argv[1:])"
        flags = [*FLAGS, "--remote-debugging-pipe", f"--user-data-dir={folder}", "about:blank"]
        words, quiet = [sys.executable, "-c", started, PROGRAM, *flags], subprocess.DEVNULL
        self._process = subprocess.Popen(words, pass_fds=ends, stdout=quiet, stderr=quiet)
        for end in (to_read, to_write, *ends):
            os.close(end)
        self._rest, self._number, self._session = b"", 0, ""
        self.requests: list[str] = []
        self.errors: list[Any] = []
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Ask for something, and wait for the answer."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            part = os.read(self._from, 1 << 16)
            assert part, "the browser has gone"
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        found = json.loads(message)
        said = found.get("params", {})
        if found.get("method") == "Network.requestWillBeSent":
            self.requests.append(said["request"]["url"])
        elif found.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled"):
            self.errors.append(said)
        return found

    def open(self, page: Path, width: int = 1100, height: int = 900) -> None:
        """Load a page at a size."""
        self.requests.clear()
        self.errors.clear()
        self.resize(width, height)
        self.call("Page.navigate", url=page.as_uri())
        while self._read().get("method") != "Page.loadEventFired":
            pass

    def resize(self, width: int, height: int = 900) -> None:
        """The size of the window, in CSS pixels."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def prefer(self, **features: str) -> None:
        """Media features, as `prefers_color_scheme="dark"`."""
        listed = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.call("Emulation.setEmulatedMedia", features=listed)

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """A mouse event at a place of the window: moved, pressed, released or wheel."""
        kinds = {"moved": "mouseMoved", "pressed": "mousePressed", "released": "mouseReleased", "wheel": "mouseWheel"}
        self.call("Input.dispatchMouseEvent", type=kinds[kind], x=x, y=y, **more)

    def click(self, x: float, y: float, times: int = 1) -> None:
        """Click at a place of the window, once or twice."""
        for n in range(1, times + 1):
            for kind in ("pressed", "released"):
                self.mouse(kind, x, y, button="left", clickCount=n)

    def press(self, key: str) -> None:
        """Press a key in what has the focus."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key)

    def close(self) -> None:
        """End the browser."""
        with contextlib.suppress(BrokenPipeError, AssertionError):
            self._session = ""
            self.call("Browser.close")
        self._process.wait(timeout=20)
        os.close(self._to)
        os.close(self._from)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser for a file's tests, where there is one."""
    if PROGRAM is None:
        pytest.skip("no Chromium on this machine: chromium, chromium-browser or google-chrome")
    opened = Browser(tmp_path_factory.mktemp("browser"))
    yield opened
    opened.close()


@pytest.fixture
def rng() -> np.random.Generator:
    """A fixed random generator."""
    return np.random.default_rng(7)
