"""A real nginx in front of a relay, with connections that it keeps, as deploy/nginx.conf has it."""

import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
import requests
from tornado.testing import bind_unused_port

PLACES = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")

CONFIGURATION = """
daemon off;
master_process off;
pid nginx.pid;
error_log error.log;
events {{}}
http {{
    access_log off;
    {places}
    upstream relay {{
        server {relay};
        keepalive 4;
        keepalive_timeout 5s;
    }}
    server {{
        listen 127.0.0.1:{port};
        client_max_body_size 70m;
        location / {{
            proxy_pass http://relay;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $http_x_forwarded_for;
            proxy_request_buffering {buffering};
            proxy_next_upstream off;
        }}
    }}
}}
"""


class Nginx:
    """Runs nginx in a folder of its own before `host:port` of a relay; `url` is where it listens.

    buffers: whether it reads a body to its end before it passes the first byte on.
    """

    def __init__(self, folder: Path, relay: str, *, buffers: bool = True) -> None:
        self._program = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin")
        if self._program is None:
            pytest.skip("nginx is not here: nothing was sent through it")
        socket, port = bind_unused_port()
        socket.close()
        self.url = f"http://127.0.0.1:{port}"
        self._folder = folder
        folder.mkdir(exist_ok=True)
        places = "".join(f"{name}_temp_path {name};\n    " for name in PLACES)
        (folder / "nginx.conf").write_text(
            CONFIGURATION.format(
                places=places, relay=relay, port=port, buffering="on" if buffers else "off"
            )
        )

    def __enter__(self) -> Self:
        command = [self._program, "-p", f"{self._folder}/", "-c", "nginx.conf", "-e", "error.log"]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        for _ in range(100):
            try:
                requests.get(f"{self.url}/healthz", timeout=5)
                return self
            except requests.ConnectionError:
                if self._process.poll() is not None:
                    break
                subprocess.run(["sleep", "0.05"], check=True)
        raise AssertionError((self._folder / "error.log").read_text())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.wait(timeout=20)
