"""A real daemon: run.py in a process of its own, on free ports, in a folder of its own."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

from relay.cli.banner import LAST_LINE
from tests.support import commands

ROOT = Path(__file__).parents[2]
PROGRAM = (sys.executable, str(ROOT / "run.py"))

# The settings as they come; and without the server whose place REGISTRY takes.
SHIPPED = (ROOT / "settings.toml").read_text(encoding="utf-8")
WITHOUT_REGISTRY = re.sub(r"\[servers\.registry\]\n(?:.+\n)+", "", SHIPPED)

# A server that delivers through a provider, quickly given up on and quickly tried again.
REGISTRY = """
[servers.registry]
plugins = ["bearer_token", "session_token", "default", "postmark"]
sender = "Registry <registry@example.gov>"
recipients = ["@example.gov"]
postmark_token = {{ env = "POSTMARK_TOKEN" }}
postmark_url = "{url}"
deadline = 3
retry = [1]
"""


class Daemon:
    """Starts `run.py serve` with a settings file; leaving the context stops it.

    `url` is the API's address, `pages` that of the pages and `console` that of the console, with
    the first admin's link, once it is started; `output` is what it printed, `events()` what it
    logged.
    """

    def __init__(
        self,
        folder: Path,
        settings: str,
        environment: dict[str, str] | None = None,
        program: Sequence[str] = PROGRAM,
    ) -> None:
        self.folder = folder
        self.program = [*program]
        self.settings = folder / "settings.toml"
        self.settings.write_text(settings, encoding="utf-8")
        self.environment = {**os.environ, "RELAY_PORT": "0", "RELAY_PAGES": "127.0.0.1:0"}
        self.environment |= {"RELAY_CONSOLE": "127.0.0.1:0"}
        self.environment |= {"RELAY_LOG": "json", **(environment or {})}
        self.process: subprocess.Popen[str] | None = None
        self.output = ""
        self.url = ""
        self.pages = ""
        self.console = ""

    def start(self) -> Self:
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(
                [*self.program, "--settings", str(self.settings)],
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=self.folder,
            )
        self.output = ""
        for line in self.process.stdout:
            self.output += line
            if line.strip() == LAST_LINE:
                break
        self.url = self._address(r"listens on (\S+)")
        self.pages = self._address(r"Mailbox:\s+(\S+?)/?\n")
        self.console = self._address(r"Console:\s+(\S+)")
        return self

    def _address(self, pattern: str) -> str:
        found = re.search(pattern, self.output)
        if found is None and pattern.startswith("listens"):
            raise AssertionError(f"the daemon did not start:\n{self.log()}")
        return found[1] if found else ""

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; give the exit code."""
        self.process.send_signal(number)
        code = self.process.wait(timeout=50)
        self.process.stdout.close()
        return code

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.stop()

    def command(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess:
        """Run a command of run.py on the same settings."""
        given = ["--settings", str(self.settings), *arguments]
        if self.program == [*PROGRAM]:
            return commands.run(given, self.environment, self.folder, stdin, 50)
        return subprocess.run(
            [*self.program, *given],
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=50,
            cwd=self.folder,
            check=False,
        )

    def post(self, path: str, key: str | None = None, **options: Any) -> requests.Response:
        headers = {"authorization": f"token {key}"} if key else {}
        headers |= options.pop("headers", {})
        return requests.post(self.url + path, headers=headers, timeout=30, **options)

    def made_keys(self) -> dict[str, str]:
        """The keys that the daemon made at its first start, by id."""
        return json.loads((self.folder / "var" / "keys.json").read_text())

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]
