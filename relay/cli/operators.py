"""`operators`: who may use the console."""

import asyncio
from pathlib import Path
from typing import Any

import click

from relay.cli.context import Orders, reading
from relay.cli.terminal import counted, say
from relay.config import settings
from relay.core.times import shown
from relay.operators.acting import system_user
from relay.operators.changes import carry_out, link_url
from relay.operators.people import People, Refused
from relay.operators.roles import ROLES
from relay.store import operators as stored
from relay.store.engine.database import Store
from relay.store.operators import Person

ROLE = click.Choice(ROLES)


@click.group(invoke_without_command=True)
@click.pass_context
def operators(context: click.Context) -> None:
    """List who may use the console: name, role, when last seen, whether with a second factor."""
    if context.invoked_subcommand is not None:
        return
    with reading(context.obj) as (_, store):
        for person in store.read_now(stored.listed):
            say(_line(person))


def _line(person: Person) -> str:
    seen = "never seen" if person.seen_at is None else shown(person.seen_at)
    factor = "second factor" if person.totp_secret else "no second factor"
    return f"{person.name:24} {person.role:8}  {seen:20}  {factor}"


@operators.command()
@click.argument("name")
@click.option("--role", type=ROLE, required=True, help="What NAME may.")
@click.pass_obj
def invite(path: Path, name: str, role: str) -> None:
    """Let NAME in: print a link that is good once, for a day, to set a password behind."""
    _print_link(_change(path, "invite", name, role))


@operators.command()
@click.argument("name")
@click.pass_obj
def link(path: Path, name: str) -> None:
    """Print a new link for NAME, to set another password behind; the one before is dead."""
    _print_link(_change(path, "link", name))


@operators.command()
@click.argument("name")
@click.argument("role", type=ROLE)
@click.pass_obj
def role(path: Path, name: str, role: str) -> None:
    """Change what NAME may to ROLE; the last admin stays one."""
    _change(path, "role", name, role)
    say(f"{name}  {role}")


@operators.command(name="second-factor")
@click.argument("name")
@click.option("--remove", is_flag=True, required=True, help="NAME lost what shows the codes.")
@click.pass_obj
def second_factor(path: Path, name: str, *, remove: bool) -> None:
    """Let NAME sign in with the password alone, until another second factor is set up."""
    _change(path, "second-factor", name)
    say(f"{name}  no second factor")


@operators.command()
@click.argument("name")
@click.pass_obj
def remove(path: Path, name: str) -> None:
    """Let NAME in no more, and end the sessions; the last admin stays."""
    _change(path, "remove", name)
    say(f"{name}  removed")


@operators.command(name="sign-out")
@click.argument("name")
@click.pass_obj
def sign_out(path: Path, name: str) -> None:
    """End all sessions of NAME."""
    count = _change(path, "sign-out", name)["count"]
    say(f"{name}  {counted(count, 'session')} ended")


def _change(path: Path, change: str, name: str, role: str = "") -> dict[str, Any]:
    read = settings.load(path)
    asked = {"name": name, "role": role}

    def alone(store: Store) -> dict[str, Any]:
        try:
            done = asyncio.run(carry_out(People(store), change, asked, system_user(), read.console))
        except Refused as problem:
            raise click.ClickException(str(problem)) from None
        url = link_url(read.console, read.console.listen, done.pop("secret", ""))
        return {**done, "url": url}

    with Orders(read, see="operators") as orders:
        answer: dict[str, Any] = orders.carry_out(f"/operators/{change}", asked, alone)
    return answer


def _print_link(answer: dict[str, Any]) -> None:
    say(answer["url"])
    say("good once, for a day: give it to nobody else", err=True)
