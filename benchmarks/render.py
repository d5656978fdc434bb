"""How fast a template renders, beside Jinja2 and chevron, and how fast it is parsed.

One letter of 10 KB with a table of 50 rows, written in each language and rendered in turn, round
after round, in one process. All escape; Jinja2 is compiled before the rounds, as mustachio is;
chevron has no compiled form, but keeps a template's tokens.

Run it from the project's root: .venv/bin/python -m benchmarks.render
"""

import gc
import platform
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from relay.mustachio import parse

try:
    import chevron
    import jinja2
except ImportError as missing:
    sys.stderr.write(f"{missing}. Install it: .venv/bin/pip install jinja2 chevron\n")
    sys.exit(2)

ROUNDS = 60
REPEATS = 10

PROSE = "<p style='margin: 0 0 12px'>Please keep this letter until the service is rendered.</p>\n"
HEAD = "<html><body>\n<h1>Dear {{name}}, your order {{order}}</h1>\n" + PROSE * 50
ROW = (
    "<tr><td class='number'>{{number}}</td><td>{{title}}</td>"
    "<td>{{place}}</td><td class='amount'>{{amount}}</td></tr>\n"
)
TAIL = "</table>\n" + PROSE * 64 + "</body></html>\n"

MUSTACHIO = f"{HEAD}<table>\n{{{{#each rows}}}}{ROW}{{{{/each}}}}{TAIL}"
MUSTACHE = f"{HEAD}<table>\n{{{{#rows}}}}{ROW}{{{{/rows}}}}{TAIL}"
JINJA = f"{HEAD}<table>\n{{% for row in rows %}}{ROW.replace('{{', '{{row.')}{{% endfor %}}{TAIL}"

MODEL = {
    "name": "Ann O'Neill",
    "order": 20391,
    "rows": [
        {
            "number": number,
            "title": f"Certificate no. {number} of birth & of death",
            "place": "Registry of the city, second floor",
            "amount": "12.50",
        }
        for number in range(50)
    ],
}


def contestants() -> dict[str, Callable[[], str]]:
    """Return each engine's rendering of the same letter; the texts agree but for ways to escape."""
    own = parse(MUSTACHIO)
    jinja = jinja2.Environment(autoescape=True).from_string(JINJA)
    return {
        "mustachio": lambda: own.render(MODEL),
        "jinja2": lambda: jinja.render(MODEL),
        "chevron": lambda: chevron.render(MUSTACHE, MODEL),
    }


def seconds(work: Callable[[], Any], repeats: int = REPEATS) -> float:
    """Time one call, as the mean of a few in a row."""
    begun = time.perf_counter()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - begun) / repeats


def measure(works: dict[str, Callable[[], Any]], rounds: int = ROUNDS) -> dict[str, float]:
    """Time each in turn, round after round, and give the medians."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        gc.collect()
        for name, work in works.items():
            taken[name].append(seconds(work))
    return {name: statistics.median(times) for name, times in taken.items()}


def report(title: str, medians: dict[str, float]) -> None:
    print(title)
    for name, median in medians.items():
        ratio = median / medians["mustachio"]
        print(f"  {name:<10}{median * 1e6:10.0f} µs{ratio:8.2f} x")


def main() -> None:
    works = contestants()
    sizes = {name: len(work()) for name, work in works.items()}
    print(f"Python {platform.python_version()}, {ROUNDS} rounds of {REPEATS}")
    print(f"template of {len(MUSTACHIO)} characters, rendered {sizes}")
    report("render", measure(works))
    environment = jinja2.Environment(autoescape=True)
    parsers: dict[str, Callable[[], Any]] = {
        "mustachio": lambda: parse(MUSTACHIO),
        "jinja2": lambda: environment.from_string(JINJA),
    }
    report("parse", measure(parsers, rounds=20))


if __name__ == "__main__":
    main()
