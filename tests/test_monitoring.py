"""The dashboard and the alert rules of deploy/ ask for metrics, labels and values that exist."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from relay.core.errors import REASONS
from relay.core.metrics import BROKEN, CHANGES, OTHER, Metric
from relay.core.states import State
from tests.support.daemon import ROOT
from tests.support.docs import section

RULES = ROOT / "deploy" / "prometheus-rules.yaml"
DASHBOARD = ROOT / "deploy" / "grafana-dashboard.json"

DECLARED = {metric.value.name: metric.value for metric in Metric}
# What Prometheus adds to every sample, and what a histogram's buckets have besides.
ADDED = {"instance", "job", "le"}
VALUES: Mapping[str, set[str]] = {
    "change": set(CHANGES),
    "state": set(State),
    "reason": {*REASONS, BROKEN, OTHER},
    "job": {"relay"},
    "server": {"$server"},
}


def rules() -> list[dict[str, Any]]:
    [group] = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return group["rules"]


def panels() -> list[dict[str, Any]]:
    return json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]


def expressions() -> Iterator[tuple[str, str]]:
    """Every expression, with what is written of its series beside it."""
    for rule in rules():
        yield rule["expr"], " ".join(rule["annotations"].values())
    for panel in panels():
        for target in panel["targets"]:
            yield target["expr"], target["legendFormat"]


def name_of(series: str) -> str:
    """The declared name of a series: a histogram has three kinds."""
    whole = re.sub(r"_(bucket|sum|count)\Z", "", series)
    return whole if DECLARED.get(whole) and DECLARED[whole].kind == "histogram" else series


@pytest.mark.parametrize(("expression", "words"), list(expressions()))
def test_an_expression_asks_for_what_is_declared(expression: str, words: str) -> None:
    series = re.findall(r"\b(relay_\w+|up)\b(?!\")", expression)
    assert series
    names = {name_of(one) for one in series} - {"up"}
    assert names <= DECLARED.keys()
    labels = ADDED.union(*(DECLARED[name].labels for name in names))
    chosen = re.findall(r'(\w+)(?:=~|=)"([^"]*)"', expression)
    grouped = ",".join(re.findall(r"\bby \(([^)]*)\)", expression)).replace(" ", "").split(",")
    legend = re.findall(r"\{\{ ?(?:\$labels\.)?(\w+) ?\}\}", words)
    assert {label for label, _ in chosen} | set(filter(None, grouped)) | set(legend) <= labels
    for label, values in chosen:
        assert set(values.split("|")) <= VALUES[label], values
    for name in names:
        if DECLARED[name].kind == "counter":
            assert re.search(rf"(rate|increase)\({name}", expression), "counters only go up"


def test_every_metric_is_on_the_dashboard() -> None:
    shown = {
        name for text, _ in expressions() for name in map(name_of, re.findall(r"relay_\w+", text))
    }
    assert DECLARED.keys() <= shown


def test_panels_have_a_place_of_their_own() -> None:
    places = [panel["gridPos"] for panel in panels()]
    fields = {
        (x, y)
        for at in places
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    }
    assert len(fields) == sum(at["w"] * at["h"] for at in places)
    assert max(x for x, _ in fields) < 24
    assert len({panel["id"] for panel in panels()}) == len(places)


def promtool(*arguments: str) -> str:
    """What Prometheus' own checker says; it is a part of Debian's `prometheus`."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("NOT RUN: promtool is not installed")
    ran = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_promtool_takes_the_rules() -> None:
    assert "SUCCESS" in promtool("check", "rules", str(RULES))


# What is measured from minute to minute, of which there is an alert in the end, but not at first.
STORIES = {
    "RelayDown": {'up{job="relay"}': "1+0x10 0+0x50"},
    "RelayNotReady": {"relay_ready": "1+0x10 0+0x50"},
    "RelayOldestWaiting": {'relay_oldest_waiting_seconds{server="permits"}': "0+60x60"},
    "RelayFailing": {
        'relay_messages_total{server="permits", change="expired"}': "0+1x60",
        'relay_messages_total{server="permits", change="sent"}': "0+8x60",
    },
    "RelayCanaryMissing": {'relay_canary_ok{server="permits"}': "1+0x10 0+0x50"},
    "RelayBreakerOpen": {'relay_breaker_open{group="permits", plugin="smtp"}': "0+0x10 1+0x50"},
    "RelayDiskLow": {"relay_disk_room": "1.5+0x60"},
    "RelayUndecidedRising": {'relay_waiting{server="permits", state="held"}': "0+1x60"},
    "RelayLoopLag": {
        'relay_loop_lag_seconds_bucket{le="0.25"}': "0+1x60",
        'relay_loop_lag_seconds_bucket{le="0.5"}': "0+120x60",
        'relay_loop_lag_seconds_bucket{le="+Inf"}': "0+120x60",
    },
    "RelayBroken": {'relay_refusals_total{reason="broken"}': "0+1x60"},
}


@pytest.mark.parametrize("name", STORIES)
def test_each_alert_is_raised_by_what_it_is_about(tmp_path: Path, name: str) -> None:
    given = [{"series": series, "values": values} for series, values in STORIES[name].items()]
    raised = f'sum(ALERTS{{alertname="{name}", alertstate="firing"}}) or vector(0)'
    asked = [
        {"expr": raised, "eval_time": at, "exp_samples": [{"labels": "{}", "value": count}]}
        for at, count in (("0m", 0), ("50m", 1))
    ]
    story = {"interval": "1m", "input_series": given, "promql_expr_test": asked}
    test = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [story]}
    path = tmp_path / "test.yaml"
    path.write_text(yaml.safe_dump(test), encoding="utf-8")
    promtool("test", "rules", str(path))


def test_every_alert_has_its_story_and_its_row() -> None:
    assert [rule["alert"] for rule in rules()] == list(STORIES)
    table = section("operate/metrics", "## Dashboard and alerts")
    assert re.findall(r"`(Relay\w+)`", table) == list(STORIES)
