"""Commands of run.py in processes of their own, which need not load its modules again.

One process loads them, once for all tests; each command is a fork of it, with its own folder,
environment and standard streams. To start Python anew takes ten times as long.
"""

import atexit
import json
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[2]


def run(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    folder: Path,
    stdin: str | None,
    seconds: float,
) -> subprocess.CompletedProcess[str]:
    """Run a command; raise TimeoutExpired, and kill it, where it does not end."""
    order = {"arguments": [*arguments], "environment": dict(environment), "folder": str(folder)}
    with (
        tempfile.TemporaryFile("w+") as given,
        tempfile.TemporaryFile("w+") as output,
        tempfile.TemporaryFile("w+") as errors,
    ):
        given.write(stdin or "")
        given.seek(0)
        code = _ended(order, [given, output, errors], seconds)
        said = [_read(output), _read(errors)]
    return subprocess.CompletedProcess([*arguments], code, *said)


def _ended(order: Mapping[str, object], streams: Sequence[IO[str]], seconds: float) -> int:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        descriptors = [*(stream.fileno() for stream in streams), theirs.fileno()]
        socket.send_fds(_server(), [json.dumps(order).encode()], descriptors)
        theirs.close()
        ours.settimeout(seconds)
        pid = int(ours.recv(20))
        try:
            return int(ours.recv(20))
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            raise subprocess.TimeoutExpired(str(order["arguments"]), seconds) from None


def _read(stream: IO[str]) -> str:
    stream.seek(0)
    return stream.read()


@cache
def _server() -> socket.socket:
    """Start the process that has the modules; it ends with this one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = subprocess.Popen(
        [sys.executable, __file__, str(theirs.fileno())], pass_fds=[theirs.fileno()], cwd=ROOT
    )
    theirs.close()
    atexit.register(process.wait)
    atexit.register(ours.close)
    return ours


def _serve(channel: socket.socket) -> None:
    """Load what commands need, and run them until nobody asks any more."""
    sys.path[0] = str(ROOT)
    for module in pkgutil.walk_packages([str(ROOT / "relay" / "cli")], "relay.cli."):
        import_module(module.name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        order, descriptors, *_ = socket.recv_fds(channel, 2**20, 4)
        if not order:
            return
        if os.fork() == 0:
            channel.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _watch(json.loads(order), descriptors)
            os._exit(0)
        for one in descriptors:
            os.close(one)


def _watch(order: Mapping[str, object], descriptors: Sequence[int]) -> None:
    """Run a command; say its number when it began, and its exit code when it ended."""
    pid = os.fork()
    if pid == 0:
        _become(order, descriptors)
    with socket.socket(fileno=descriptors[3]) as asker:
        asker.send(str(pid).encode())
        _, status = os.waitpid(pid, 0)
        asker.send(str(os.waitstatus_to_exitcode(status)).encode())


def _become(order: Mapping[str, object], descriptors: Sequence[int]) -> None:
    """Be the command, and end as Python ends."""
    for number, descriptor in enumerate(descriptors[:3]):
        os.dup2(descriptor, number)
    for descriptor in descriptors:
        os.close(descriptor)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    time.tzset()
    sys.argv = [str(ROOT / "run.py"), *order["arguments"]]
    code = 0
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        code = end.code or 0
    except BaseException:  # noqa: BLE001 - as Python shows what nobody caught
        traceback.print_exc()
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
