"""The shipped deployment of two daemons: its files, its settings, and the same from processes."""

import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Self

import pytest
import requests
import yaml

from relay.config import settings
from tests.support.daemon import ROOT, Daemon
from tests.support.killable_postgresql import PASSWORD, Server
from tests.support.nginx import PLACES

DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
TOML = (DEPLOY / "compose.settings.toml").read_text(encoding="utf-8")
# Made by whoever deploys it.
MADE = ("secrets/", "tls")

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin")
FORM = {
    "to_address": "desk@example.gov",
    "from_address": "a@example.com",
    "name": "A",
    "message": "Make the roads green.",
}


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """The files of the secrets, as an operator makes them."""
    folder = tmp_path / "secrets"
    folder.mkdir(mode=0o700)
    for name in COMPOSE["secrets"]:
        path = folder / name
        path.write_text(f"{name}-" * 5)
        path.chmod(0o600)
    return folder


def settings_with(secrets: Path) -> str:
    return TOML.replace("/run/secrets", str(secrets))


def test_every_file_that_compose_names_is_there() -> None:
    named = [secret["file"] for secret in COMPOSE["secrets"].values()]
    for service in COMPOSE["services"].values():
        mounts = [mount.partition(":")[0] for mount in service["volumes"]]
        named += [mount for mount in mounts if mount.startswith(".")]
        assert {one for one in mounts if not one.startswith(".")} <= COMPOSE["volumes"].keys()
        assert set(service.get("secrets", ())) <= COMPOSE["secrets"].keys()
        assert set(service.get("depends_on", ())) <= COMPOSE["services"].keys()
    for name in named:
        name = name.removeprefix("./")
        assert name.startswith(MADE) or (DEPLOY / name).is_file(), name


def test_the_settings_of_compose_are_in_order(secrets: Path, tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(settings_with(secrets))
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    environment = dict(re.findall(r'\b(RELAY_\w+)="?([^"\s\\]*)"?', dockerfile))
    read = settings.load(path, environment)
    assert (read.host, read.pages, str(read.data)) == ("0.0.0.0", None, "/var/lib/relay")
    url = read.database.reveal()
    assert url == f"postgresql://relay:{'database_password-' * 5}@database/relay"
    used = set(re.findall(r"/run/secrets/(\w+)", TOML))
    for name in ("relay1", "relay2"):
        assert set(COMPOSE["services"][name]["secrets"]) == used
    database = COMPOSE["services"]["database"]["environment"]
    assert (database["POSTGRES_USER"], database["POSTGRES_DB"]) == ("relay", "relay")
    [proxy] = read.trusted_proxies
    assert address_of("nginx") == str(proxy.network_address)


def address_of(service: str) -> str:
    address: str = COMPOSE["services"][service]["networks"]["inside"]["ipv4_address"]
    return address


def test_nginx_knows_the_addresses_of_the_daemons() -> None:
    upstream = (DEPLOY / "nginx-several.conf").read_text(encoding="utf-8")
    listed = re.findall(r"server ([\d.]+):(\d+)", upstream)
    assert listed == [(address_of(name), "8025") for name in ("relay1", "relay2")]


def test_docker_reads_the_file(tmp_path: Path) -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], check=False).returncode:
        pytest.skip("NOT RUN: `docker compose` is not here")
    command = [docker, "compose", "-f", str(DEPLOY / "compose.yaml"), "config", "--quiet"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


class Nginx:
    """nginx with a shipped configuration, but for the places of this machine.

    upstream: the file that says where the daemons listen; each gets one of the ports.
    """

    def __init__(self, folder: Path, upstream: str, ports: list[int]) -> None:
        self.folder = folder
        self.port = free_port()
        certificate, key = folder / "fullchain.pem", folder / "privkey.pem"
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
        command += [
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-subj",
            "/CN=localhost",
            "-keyout",
            str(key),
            "-out",
            str(certificate),
        ]
        subprocess.run(command, check=True, capture_output=True)
        server = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
        server = server.replace("/etc/letsencrypt/live/relay.example.gov", str(folder))
        server = server.replace("listen 443 ssl;", f"listen 127.0.0.1:{self.port} ssl;")
        server = re.sub(r".*\[::\]:443.*\n", "", server)
        server = server.replace("/var/log/nginx/", f"{folder}/")
        where = (DEPLOY / upstream).read_text(encoding="utf-8")
        left = iter(ports)
        where = re.sub(r"server [\d.]+:8025", lambda _: f"server 127.0.0.1:{next(left)}", where)
        places = "".join(f"{name}_temp_path {name};\n" for name in PLACES)
        head = "daemon off;\npid nginx.pid;\nerror_log error.log;\nevents {}\n"
        whole = f"{head}http {{\naccess_log off;\n{places}{server}{where}}}\n"
        (folder / "nginx.conf").write_text(whole)
        assert NGINX is not None
        self.command = [NGINX, "-p", f"{folder}/", "-c", "nginx.conf", "-e", "error.log"]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self.command, stderr=subprocess.DEVNULL)
        for _ in range(100):
            with closing(socket.socket()) as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            threading.Event().wait(0.05)
        raise AssertionError((self.folder / "error.log").read_text())

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=20)


@pytest.mark.skipif(NGINX is None, reason="NOT RUN: nginx is not here")
@pytest.mark.parametrize("upstream", ["nginx-one.conf", "nginx-several.conf"])
def test_nginx_takes_what_is_shipped(tmp_path: Path, upstream: str) -> None:
    command = Nginx(tmp_path, upstream, [8025, 8026]).command
    ran = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


@pytest.fixture
def daemons(secrets: Path, server: Server, tmp_path: Path) -> Iterator[list[Daemon]]:
    """Two daemons with the settings of compose, but for the provider."""
    toml = settings_with(secrets).replace('"postmark"]', '"mailbox"]')
    toml = re.sub(r"postmark_token = .*\n", "", toml)
    toml = re.sub(r"database_password = .*\n", "", toml)
    toml += "\n[relay.limits]\nposts_per_minute = 0\n"  # all come from one address
    server.execute("CREATE DATABASE deployed OWNER relay")
    url = server.url_of("deployed").replace(f":{PASSWORD}@", "@")
    started = []
    for name in ("relay1", "relay2"):
        folder = tmp_path / name
        folder.mkdir()
        environment = {"RELAY_DATABASE": url, "PGPASSWORD": PASSWORD}
        environment["RELAY_TRUSTED_PROXIES"] = "127.0.0.1"
        environment["RELAY_DATA"] = str(folder / "data")
        daemon = Daemon(folder, toml, environment)
        daemon.environment |= {"RELAY_PORT": str(free_port()), "RELAY_PAGES": ""}
        started.append(daemon.start())
    yield started
    for daemon in started:
        daemon.stop()


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.skipif(NGINX is None, reason="NOT RUN: nginx is not here")
def test_daemons_are_stopped_and_started_behind_nginx_and_no_post_is_refused(
    daemons: list[Daemon], secrets: Path, tmp_path: Path
) -> None:
    key = (secrets / "key_applications").read_text()
    folder = tmp_path / "nginx"
    folder.mkdir()
    ports = [int(daemon.environment["RELAY_PORT"]) for daemon in daemons]
    answers: list[tuple[int, str]] = []
    ending = threading.Event()

    with Nginx(folder, "nginx-several.conf", ports) as nginx:
        url = f"https://127.0.0.1:{nginx.port}"

        def call(name: str) -> None:
            number = 0
            while not ending.wait(0.2):  # nginx takes 20 in a second
                number += 1
                reply = requests.post(
                    f"{url}/rest/email/contactform",
                    data=FORM | {"subject": f"{name}-{number}"},
                    headers={"Authorization": f"token {key}"},
                    verify=str(folder / "fullchain.pem"),
                    timeout=30,
                )
                answers.append((reply.status_code, reply.text))

        callers = [threading.Thread(target=call, args=(f"caller{n}",)) for n in range(3)]
        for caller in callers:
            caller.start()
        for _ in range(2):
            for daemon in daemons:
                assert daemon.stop() == 0
                threading.Event().wait(1)
                daemon.start()
        ending.set()
        for caller in callers:
            caller.join(30)

    assert [answer for answer in answers if answer[0] != 200] == []
    assert len(answers) > 30
    accepted = [
        sum(event["event"] == "message.accepted" for event in daemon.events()) for daemon in daemons
    ]
    assert sum(accepted) == len(answers)
    assert all(accepted)
    audit = daemons[0].command("audit")
    assert f"in balance: {len(answers)} message" in audit.stdout, audit.stdout
