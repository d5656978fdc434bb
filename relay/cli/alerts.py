"""`alerts`: what an operator was told of, and whether telling works."""

import sys
from pathlib import Path

import click

from relay.cli.context import reading
from relay.cli.control_client import running, tell
from relay.cli.terminal import say
from relay.config import settings
from relay.config.alerts import KINDS
from relay.core.states import State
from relay.core.times import shown
from relay.notifications.alerts import standing
from relay.store.alerts import Alert


@click.group(invoke_without_command=True)
@click.pass_context
def alerts(context: click.Context) -> None:
    """Look again, and list what stands: what, since when, how often, and when you were told."""
    if context.invoked_subcommand is not None:
        return
    with reading(context.obj) as (read, store):
        looked = tell(read.data, "/alerts/look", {}, see="alerts")
        stand, mended = store.read_now(standing.divided)
    if not read.alerts.to and not read.alerts.channels:
        say(f"{read.path.name} has no [alerts]: alerts are logged, nobody is told")
    if looked is None:
        say("no daemon runs: what lasts is listed as its last look found it", err=True)
    for alert in stand:
        say(line(alert))
    if not stand:
        say("nothing to tell")
    for alert in mended:
        say(f"mended: {line(alert)}")


@alerts.command()
@click.pass_obj
def test(path: Path) -> None:
    """Send a test alert through the running daemon, to everybody who is told."""
    read = settings.load(path)
    answer = running(tell(read.data, "/alerts/test", {}, see="mailbox"))
    for name in answer["called"]:
        say(f"{name}  is called: see `run.py webhooks calls {name}`")
    if not answer["id"]:
        return
    say(f"{answer['id']}  {answer['result']}")
    if answer["result"] != State.SENT:
        say(f"see `run.py queue show {answer['id']}`", err=True)
        sys.exit(1)


def line(alert: Alert) -> str:
    """Write an alert as one line."""
    about = "  ".join(part for part in alert.key if part)
    count = "" if KINDS[alert.key.kind].lasts else f"  {alert.count:,} in all"
    over = f"  over since {shown(alert.over_at)}" if alert.over_at is not None else ""
    told = "not told" if alert.told_at is None else f"told {shown(alert.told_at)}"
    words = f"  {alert.words}" if alert.words else ""
    return f"{about}  since {shown(alert.since)}{over}{count}  {told}{words}"
