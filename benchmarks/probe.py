"""A process that says what it has cost so far, whenever it is asked: `ask` asks it.

The daemon: python -m benchmarks.probe FILE COUNTS, and then as run.py is called. FILE: where it
says it. COUNTS: `calls` to count the calls of Python functions too, which makes it slow.
"""

import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

# How long a process may take to say it.
SECONDS = 30


class Cost(NamedTuple):
    """CPU seconds by thread, those of a pool together; calls of Python functions, by function."""

    cpu: Counter[str]
    calls: Counter[str]

    def since(self, before: "Cost") -> "Cost":
        """Return what was added to an earlier one."""
        cpu = {name: seconds - before.cpu[name] for name, seconds in self.cpu.items()}
        return Cost(Counter(cpu), self.calls - before.calls)


class _Calls:
    """Counts calls in every thread that starts after it, and in its own."""

    def __init__(self) -> None:
        self._counters: list[Counter[CodeType]] = []
        threading.setprofile(self._begin)
        self._begin(sys._getframe(), "call", None)

    def _begin(self, frame: FrameType, event: str, argument: Any) -> None:
        counter: Counter[CodeType] = Counter()  # each thread its own: none is lost
        self._counters.append(counter)

        def count(frame: FrameType, event: str, argument: Any) -> None:
            if event == "call":
                counter[frame.f_code] += 1

        sys.setprofile(count)

    def by_function(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for counter in self._counters:
            for code, calls in counter.copy().items():
                place = "/".join(code.co_filename.split("/")[-3:])
                found[f"{place}:{code.co_firstlineno} {code.co_qualname}"] += calls
        return found


def install(path: Path, *, calls: bool) -> None:
    """Let this process say what it cost, into a file, whenever it gets SIGUSR1."""
    counted = _Calls() if calls else None

    def say(number: int, frame: FrameType | None) -> None:
        counting = sys.getprofile()
        sys.setprofile(None)  # saying it is not what is measured
        cpu: Counter[str] = Counter()
        for thread in threading.enumerate():
            clock = time.pthread_getcpuclockid(thread.ident)  # type: ignore[arg-type]
            cpu[thread.name.rstrip("0123456789_")] += time.clock_gettime(clock)
        cpu["all"] = time.process_time()
        by_function = counted.by_function() if counted else {}
        whole = path.with_suffix(".new")
        whole.write_text(json.dumps([cpu, by_function]), encoding="utf-8")
        whole.rename(path)
        sys.setprofile(counting)

    signal.signal(signal.SIGUSR1, say)


def ask(process: int, path: Path) -> Cost:
    """Ask a process what it has cost."""
    path.unlink(missing_ok=True)
    os.kill(process, signal.SIGUSR1)
    ends = time.monotonic() + SECONDS
    while not path.exists():
        if time.monotonic() > ends:
            raise TimeoutError("the process does not say what it cost")
        time.sleep(0.01)
    cpu, calls = json.loads(path.read_text(encoding="utf-8"))
    return Cost(Counter(cpu), Counter(calls))


if __name__ == "__main__":
    from relay.cli.main import main

    program, file, counts, *arguments = sys.argv
    install(Path(file), calls=counts == "calls")
    sys.argv = [program, *arguments]
    main()
