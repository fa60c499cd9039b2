"""A headless Chromium, spoken to over a pipe, and a file server: what the page is tested in."""

import base64
import json
import os
import shutil
import subprocess
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_SECONDS = 90


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@contextmanager
def serving(folder):
    """Serves a folder on the loopback address; yields where."""
    handler = partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class Browser:
    """One tab."""

    def __init__(self, profile, width=400, height=820):
        program = shutil.which("chromium") or shutil.which("google-chrome")
        assert program is not None
        to_read, self._commands = os.pipe()
        self._answers, to_write = os.pipe()

        def place():  # Chromium reads from 3 and writes to 4
            os.dup2(to_read, 100)
            os.dup2(to_write, 101)
            os.dup2(100, 3)
            os.dup2(101, 4)

        self._process = subprocess.Popen(
            [
                *(program, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
                *("--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"),
                f"--window-size={width},{height}",
            ],
            close_fds=False,
            preexec_fn=place,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_read)
        os.close(to_write)
        self._reader = os.fdopen(self._answers, "rb", buffering=0)
        self._number, self._rest, self._session = 0, b"", None
        target = self.command("Target.createTarget", url="about:blank")["targetId"]
        found = self.command("Target.attachToTarget", targetId=target, flatten=True)
        self._session = found["sessionId"]

    def command(self, method, **parameters):
        """Sends a command of the DevTools protocol; returns its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        message |= {"sessionId": self._session} if self._session else {}
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self._rest:
                self._rest += self._reader.read(1 << 20)
            line, self._rest = self._rest.split(b"\0", 1)
            answer = json.loads(line)
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def run(self, script):
        """Runs a script in the page, waits for its promise, returns its value."""
        found = self.command(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def open(self, address, until):
        """Opens an address and waits until the page's status says something."""
        self.command("Page.navigate", url=address)
        return self.wait(until)

    def wait(self, until):
        """Waits until the status holds a text; returns the status."""
        script = (
            "new Promise(done => { const limit = Date.now() + 1000 * %d; (function look() {"
            " const said = document.getElementById('status')?.textContent ?? '';"
            " if (said.includes(%s) || Date.now() > limit) done(said); else setTimeout(look, 50);"
            " })(); })"
        )
        return self.run(script % (_SECONDS, json.dumps(until)))

    def picture(self, path):
        """Writes what the tab shows as a PNG."""
        found = self.command("Page.captureScreenshot", format="png")
        Path(path).write_bytes(base64.b64decode(found["data"]))

    def close(self):
        """Ends the browser."""
        os.close(self._commands)
        self._process.terminate()
        self._process.wait(10)
        self._reader.close()
