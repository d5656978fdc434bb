"""The daemon as a process: starting, stopping, reloading, surviving, refusing."""

import json
import signal
import socket
import subprocess
import threading
from pathlib import Path
from typing import Self

import pytest
import requests

from tests.support.daemon import REGISTRY, WITHOUT_REGISTRY, Daemon

FORM = {
    "to_address": "desk@example.gov",
    "from_address": "resident@example.com",
    "subject": "I have a great idea",
    "message": "Make the roads green.",
}


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    return Daemon(tmp_path, WITHOUT_REGISTRY, {"POSTMARK_TOKEN": "postmark-server-token"})


class Provider:
    """A provider in a thread: takes one call at a time, `answer` decides what it says."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}"
        self.called = threading.Semaphore(0)
        self.answering = threading.Event()
        self.calls = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=[connection], daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            received = connection.recv(1 << 20)
            if not received:
                return
            self.calls += 1
            self.called.release()
            self.answering.wait(30)
            body = json.dumps({"ErrorCode": 0, "MessageID": "provider-id", "Message": "OK"})
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            connection.sendall((head + body).encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.answering.set()
        self.listening.close()


@pytest.mark.slow
def test_the_first_start_prints_lines_that_work_as_they_are(daemon: Daemon) -> None:
    with daemon:
        assert f"{daemon.pages}/try" in daemon.output
        lines = [line.strip() for line in daemon.output.splitlines()]
        pasted = [line for line in lines if line.startswith(("curl -H", "TOKEN="))]
        ran = subprocess.run(
            ["bash", "-c", "\n".join(pasted)], capture_output=True, text=True, check=True
        )
        assert ran.stdout.count('{"status": "success", "response": "Message sent"}') == 2
        assert daemon.command("mailbox").stdout.count("I have a great idea") == 2
        for name in ("keys.json", "secret", "relay.sock"):
            assert (daemon.folder / "var" / name).stat().st_mode & 0o077 == 0
        keys = daemon.made_keys()
    daemon.start()
    assert daemon.made_keys() == keys
    # Nobody looks on here: a later start keeps the keys out of whatever keeps its output.
    assert not any(key in daemon.output for key in keys.values())
    assert "run.py keys show" in daemon.output
    assert daemon.stop() == 0


@pytest.mark.slow
def test_only_the_data_folder_is_written_to(daemon: Daemon) -> None:
    with daemon:
        daemon.post("/emails", daemon.made_keys()["application"], data=FORM)
    assert {path.name for path in daemon.folder.iterdir()} == {"settings.toml", "log", "var"}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_cleanly_after_finishing_what_runs(
    daemon: Daemon, number: signal.Signals
) -> None:
    with Provider() as provider:
        daemon.settings.write_text(WITHOUT_REGISTRY + REGISTRY.format(url=provider.url))
        daemon.start()
        replies: list[requests.Response] = []
        key = daemon.made_keys()["application"]
        caller = threading.Thread(
            target=lambda: replies.append(daemon.post("/rest/email/registry", key, data=FORM))
        )
        caller.start()
        assert provider.called.acquire(timeout=10)
        daemon.process.send_signal(number)
        while daemon.events()[-1]["event"] != "daemon.stopping":
            pass
        with pytest.raises(requests.ConnectionError):
            requests.get(f"{daemon.url}/healthz", timeout=5)
        provider.answering.set()
        caller.join(20)
        assert daemon.process.wait(40) == 0
        daemon.process.stdout.close()
    assert replies[0].json()["response"] == "Message sent"
    assert daemon.events()[-1] | {"event": "daemon.stopped", "whole": True} == daemon.events()[-1]
    assert daemon.command("queue").stdout == ""


@pytest.mark.slow
def test_a_second_signal_stops_at_once_and_what_was_being_sent_is_in_doubt(
    daemon: Daemon,
) -> None:
    with Provider() as provider:
        daemon.settings.write_text(WITHOUT_REGISTRY + REGISTRY.format(url=provider.url))
        daemon.start()
        key = daemon.made_keys()["application"]
        failures: list[Exception] = []

        def post() -> None:
            try:
                daemon.post("/rest/email/registry", key, data=FORM)
            except requests.ConnectionError as error:
                failures.append(error)

        caller = threading.Thread(target=post)
        caller.start()
        assert provider.called.acquire(timeout=10)
        daemon.process.send_signal(signal.SIGTERM)
        while daemon.events()[-1]["event"] != "daemon.stopping":
            pass
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.process.wait(2) == -signal.SIGTERM
        daemon.process.stdout.close()
        caller.join(10)
        assert len(failures) == 1
        daemon.start()
        assert "in_doubt" in daemon.command("queue").stdout
        assert daemon.stop() == 0
        assert provider.calls == 1


@pytest.mark.slow
def test_a_killed_daemon_sends_what_was_queued_and_parks_what_it_was_sending(
    daemon: Daemon,
) -> None:
    with Provider() as provider:
        off = REGISTRY.replace("[servers.registry]", "[servers.registry]\nenabled = false")
        daemon.settings.write_text(WITHOUT_REGISTRY + off.format(url=provider.url))
        daemon.start()
        key = daemon.made_keys()["application"]
        queued = daemon.post("/rest/email/registry", key, data=FORM)
        assert queued.json()["response"] == "Message queued"
        assert daemon.stop(signal.SIGKILL) == -signal.SIGKILL
        daemon.settings.write_text(WITHOUT_REGISTRY + REGISTRY.format(url=provider.url))
        daemon.start()
        assert provider.called.acquire(timeout=10)
        assert daemon.stop(signal.SIGKILL) == -signal.SIGKILL
        provider.answering.set()
        daemon.start()
        sent = daemon.post("/rest/email/registry", key, data=FORM)
        assert sent.json()["response"] == "Message sent"
        listed = daemon.command("queue", "--state", "in_doubt").stdout
        id = queued.headers["X-Relay-Message-Id"]
        assert listed.startswith(id)
        assert "the daemon stopped while it was being sent" in listed
        assert provider.calls == 2
        # An operator may send it again, knowing that it may arrive twice.
        assert "may arrive twice" in daemon.command("queue", "retry", id, stdin="n\n").stderr
        assert daemon.command("queue", "retry", id, "--yes").stdout == f"{id}  queued\n"
        assert provider.called.acquire(timeout=10)
        assert provider.called.acquire(timeout=10)
        daemon.stop()
    assert daemon.command("queue").stdout == ""
    assert "sent by postmark" in daemon.command("queue", "show", id).stdout


@pytest.mark.slow
def test_a_reload_is_all_or_nothing(daemon: Daemon) -> None:
    with daemon:
        key = daemon.made_keys()["application"]

        def status(server: str) -> int:
            return daemon.post(f"/rest/email/{server}", key, data=FORM).status_code

        assert (status("default"), status("new")) == (200, 404)
        new = WITHOUT_REGISTRY.replace("[servers.default]", "[servers.new]")
        daemon.settings.write_text(new)
        assert daemon.command("reload").stdout == "settings read\n"
        assert (status("default"), status("new")) == (404, 200)
        daemon.settings.write_text(WITHOUT_REGISTRY.replace("sender", "sendr"))
        refused = daemon.command("reload")
        assert (refused.returncode, "did you mean sender?" in refused.stderr) == (2, True)
        daemon.settings.write_text(
            WITHOUT_REGISTRY.replace("[relay]", '[relay]\npublic_url = "http://x"')
        )
        daemon.process.send_signal(signal.SIGHUP)
        while daemon.events()[-1]["event"] != "settings.read":
            pass
        assert (status("default"), status("new")) == (200, 404)
        moved = WITHOUT_REGISTRY.replace('data = "var"', 'data = "elsewhere"')
        daemon.settings.write_text(moved)
        daemon.process.send_signal(signal.SIGHUP)
        while daemon.events()[-1]["event"] != "settings.refused":
            pass
        assert "restart" in daemon.events()[-1]["problem"]
        assert status("default") == 200


@pytest.mark.slow
def test_two_secrets_of_one_key_live_together(tmp_path: Path) -> None:
    old, new = "old-secret-" * 4, "new-secret-" * 4
    keys = '[keys.a]\nsecrets = [{ env = "OLD" }, { env = "NEW" }]\nservers = ["*"]\n'
    with Daemon(tmp_path, keys + WITHOUT_REGISTRY, {"OLD": old, "NEW": new}) as daemon:
        assert "curl" not in daemon.output
        for key, expected in ((old, 200), (new, 200), ("other-secret-" * 4, 401)):
            assert daemon.post("/emails", key, data=FORM).status_code == expected
        daemon.settings.write_text(keys.replace('{ env = "OLD" }, ', "") + WITHOUT_REGISTRY)
        daemon.command("reload")
        for key, expected in ((old, 401), (new, 200)):
            assert daemon.post("/emails", key, data=FORM).status_code == expected


@pytest.mark.slow
def test_what_a_robot_sent_is_listed_and_shown(daemon: Daemon) -> None:
    with daemon:
        key = daemon.made_keys()["application"]
        sent = daemon.post("/emails", key, data=FORM)
        caught = daemon.post("/emails", key, data={**FORM, "contact": "buy\x9bnow"})
        assert caught.json() == sent.json()
        id = caught.headers["X-Relay-Message-Id"]
        [line] = daemon.command("screened").stdout.splitlines()
        assert (line[:36], line.split()[-1]) == (id, "honeypot")
        shown = json.loads(daemon.command("screened", "show", id).stdout)
        assert shown == {**FORM, "contact": "buy\x9bnow"}
        assert "\x9b" not in daemon.command("screened", "show", id).stdout
        other = sent.headers["X-Relay-Message-Id"]
        assert daemon.command("screened", "show", other).returncode == 1
        assert daemon.command("mailbox").stdout.count("\n") == 1


@pytest.mark.slow
def test_health_is_told_without_a_key(daemon: Daemon) -> None:
    with daemon:
        reply = requests.get(f"{daemon.url}/healthz", timeout=5)
        assert (reply.status_code, reply.json()) == (200, {"status": "success", "response": "ok"})


MISTAKES = [
    ("", "settings.toml"),
    (WITHOUT_REGISTRY.replace("session_token", "sesion_token"), "did you mean session_token?"),
    (WITHOUT_REGISTRY.replace("port = 8025", 'port = "x"'), "[relay] port"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("toml", "words"), MISTAKES, ids=["missing", "plugin", "port"])
@pytest.mark.parametrize("command", ["serve", "check"])
def test_a_mistake_is_one_line_and_exit_code_2(
    daemon: Daemon, command: str, toml: str, words: str
) -> None:
    daemon.environment.pop("RELAY_PORT")
    daemon.settings.write_text(toml)
    if not toml:
        daemon.settings.unlink()
    ran = daemon.command(command)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert words in ran.stderr
    assert ran.stderr.startswith("relay: ")
    assert ran.stderr.count("\n") == 1


def test_a_folder_that_cannot_be_written_is_one_line(daemon: Daemon) -> None:
    (daemon.folder / "var").write_text("a file is in the way")
    ran = daemon.command("serve")
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1)
    assert "cannot be written" in ran.stderr


@pytest.mark.slow
def test_what_the_daemon_writes_is_its_owners_alone(daemon: Daemon) -> None:
    with daemon:
        daemon.post("/emails", daemon.made_keys()["application"], data=FORM)
        var = daemon.folder / "var"
        assert [path.name for path in (var, *var.iterdir()) if path.stat().st_mode & 0o077] == []


@pytest.mark.slow
def test_a_taken_port_and_a_second_daemon_are_one_line(daemon: Daemon) -> None:
    with daemon:
        second = daemon.command("serve")
        assert second.returncode == 2
        assert "another daemon uses this folder" in second.stderr.splitlines()[-1]
        daemon.environment |= {
            "RELAY_DATA": "other",
            "RELAY_PORT": daemon.url.rpartition(":")[2],
        }
        third = daemon.command("serve")
        assert third.returncode == 2
        assert "cannot listen on 127.0.0.1" in third.stderr.splitlines()[-1]
        assert "Traceback" not in second.stderr + third.stderr


@pytest.mark.slow
def test_no_secret_stands_in_the_log_or_the_arguments(daemon: Daemon) -> None:
    with daemon:
        keys = daemon.made_keys()
        daemon.post("/emails", keys["application"], data=FORM)
        daemon.post("/rest/email_session/contactform", keys["page"], data=FORM)
        status = daemon.command("status")
        assert "contactform, default" in status.stdout
        assert f"pid        {daemon.process.pid}" in status.stdout
        listed = daemon.command("keys")
        shown = daemon.command("keys", "show")
    for secret in keys.values():
        assert secret not in daemon.log() + status.stdout + listed.stdout
        assert secret in shown.stdout
    for private in ("desk@example.gov", "resident@example.com", "great idea", "roads green"):
        assert private not in daemon.log()
    assert daemon.command("status").returncode == 1
