"""The pages, of the mailbox, the templates and a form to try: a listener apart from the API's."""

from pathlib import Path

from tornado.web import Application

from relay.site import Site
from relay.web.pages import library, mailbox, message, static, trial
from relay.web.pages.handler import UnknownPageHandler


def make_pages(site: Site) -> Application:
    """Build the pages' web application."""
    return Application(
        [*mailbox.ROUTES, *message.ROUTES, *library.ROUTES, *trial.ROUTES, *static.ROUTES],
        site=site,
        template_path=str(Path(__file__).parent / "templates"),
        default_handler_class=UnknownPageHandler,
        # Tornado's own line prints the whole address, and with it what was searched for.
        log_function=lambda handler: None,
    )
