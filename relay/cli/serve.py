"""`serve`: the daemon."""

import asyncio
import contextlib
import gc
import os
import signal
import sqlite3
from pathlib import Path

import click
import structlog
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets, bind_unix_socket
from tornado.web import Application

from relay.cli import control_socket
from relay.cli.banner import banner
from relay.cli.terminal import say
from relay.config import settings
from relay.core import logs
from relay.core.errors import ConfigurationError
from relay.site import Site, open_site
from relay.store.maintenance import housekeeping, indexing
from relay.web.application import make_app
from relay.web.console import make_console
from relay.web.control import make_control
from relay.web.pages import make_pages
from relay.web.server import StrangersServer, allow_descriptors

# Stopping where other daemons take over: how long what comes on open connections is still taken.
HAND_OVER_SECONDS = 1
# Stopping: how long running requests and running attempts may take to finish.
REQUEST_SECONDS = 10
ATTEMPT_SECONDS = 25
# As many as the settings may allow without a limit; and those of the pages.
MOST_CONNECTIONS = 10_000
PAGES_CONNECTIONS = 50
# A server's hundred templates at once, most of them long.
CONTROL_BYTES = 2**30

log = structlog.get_logger()


@click.command()
@click.pass_obj
def serve(path: Path) -> None:
    """Run the daemon until SIGTERM or SIGINT; SIGHUP reads the settings again."""
    os.umask(0o077)  # what it writes is people's mail, and secrets
    read = settings.load(path)
    logs.configure(read.log)
    with open_site(read) as site:
        _spare_the_collector()
        try:
            whole = asyncio.run(_serve(site))
        finally:
            if site.store.is_broken:
                os._exit(1)  # without another word to the disk: a supervisor starts it afresh
    log.info("daemon.stopped", whole=whole)
    if not (whole and site.verifier.is_idle):
        # Not to wait for anybody any longer; what was being sent is in doubt.
        os._exit(0)


def _spare_the_collector() -> None:
    """Let the garbage collector look less often: it took a fifth of the time of a request.

    What is there by now stays for ever. Of what comes, a request leaves some hundred objects
    that refer to each other in circles: those of a few hundred requests may wait.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


async def _serve(site: Site) -> bool:
    stop = _signals(site)
    servers = _listen(site)
    site.start_plugins()  # nothing is taken in before this function waits for the first time
    site.membership.start()
    link = await site.people.first_link() if site.console else None
    say(banner(site, link))
    log.info(
        "daemon.started", address="{}:{}".format(*site.listening), sqlite=sqlite3.sqlite_version
    )
    tasks = {
        asyncio.create_task(site.dispatcher.run()),
        asyncio.create_task(site.in_doubt.run()),
        asyncio.create_task(site.receipts.run()),
        asyncio.create_task(site.alerts.run()),
        asyncio.create_task(site.metrics.watch_loop()),
        asyncio.create_task(site.webhooks.run()),
        asyncio.create_task(site.canaries.run()),
        asyncio.create_task(site.keys.run()),
        asyncio.create_task(indexing.keep(site.store, lambda: site.membership.is_leader)),
        asyncio.create_task(
            housekeeping.keep(
                site.store,
                lambda: [one.server for one in site.chains.values()],
                lambda: site.membership.is_leader,
            )
        ),
    }
    site.store.when_broken(stop.set)
    await stop.wait()
    if site.store.shared is not None and not site.store.is_broken:
        # A balancer goes to another daemon where nobody listens; what is connected is answered.
        for server in servers:
            server.stop()
        await asyncio.sleep(HAND_OVER_SECONDS)
    site.stopping = True
    if site.store.is_broken:
        log.error("store.broken", note="a sync failed: what is stored is found at the next start")
    log.info("daemon.stopping")
    for server in servers:
        server.stop()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(REQUEST_SECONDS):
            await site.requests.none_running()
    if site.store.is_broken:
        return False
    site.in_doubt.stop()
    whole = await site.dispatcher.stop(ATTEMPT_SECONDS)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await site.webhooks.stop()
    await site.alerts.stop()
    await site.stop_plugins()
    await site.keys.note()
    await site.membership.stop()
    for server in servers:
        await server.close_all_connections()
    return whole


def _listen(site: Site) -> list[HTTPServer]:
    """Listen for the API, the pages and the commands; take note of the ports."""
    read = site.settings
    servers = []
    most = allow_descriptors(read.limits.connections or MOST_CONNECTIONS)
    api, site.listening = _server(make_app(site), site, most, read.host, read.port)
    servers.append(api)
    if read.pages:
        pages, site.pages = _server(make_pages(site), site, PAGES_CONNECTIONS, *read.pages)
        servers.append(pages)
    if read.console.listen:
        console = make_console(site)
        server, site.console = _server(console, site, PAGES_CONNECTIONS, *read.console.listen)
        servers.append(server)
    control = HTTPServer(make_control(site, read_again), max_body_size=CONTROL_BYTES)
    try:
        with control_socket.address(read.data) as address:
            control.add_socket(bind_unix_socket(address, mode=0o600))
    except OSError as error:
        raise ConfigurationError(f"{read.data / control_socket.NAME}: {error}") from None
    return [*servers, control]


def _server(
    app: Application, site: Site, most: int, host: str, port: int
) -> tuple[HTTPServer, tuple[str, int]]:
    server = StrangersServer(
        app,
        site=site,
        most=most,
        max_header_size=16 * 1024,
    )
    try:
        sockets = bind_sockets(port, host)
    except OSError as error:
        raise ConfigurationError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    listening = (host, sockets[0].getsockname()[1])
    server.add_sockets(sockets)
    return server, listening


def _signals(site: Site) -> asyncio.Event:
    """Stop at the first SIGTERM or SIGINT, at once at the second; read settings at SIGHUP."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def stop_or_exit(number: signal.Signals) -> None:
        if stop.is_set():
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop_or_exit, number)
    loop.add_signal_handler(signal.SIGHUP, read_again, site)
    return stop


def read_again(site: Site) -> str | None:
    """Read the settings again, all or nothing; return what is wrong with them, if anything."""
    try:
        site.reload(settings.load(site.settings.path))
    except ConfigurationError as error:
        log.error("settings.refused", problem=str(error))
        site.event_counts.settings_refused(str(error))
        return str(error)
    log.info("settings.read", servers=sorted(site.chains))
    return None
