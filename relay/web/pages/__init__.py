"""The pages, of the mailbox, the templates and a form to try: a listener apart from the API's."""

from pathlib import Path

from tornado.web import Application

from relay.site import Site
from relay.web.connections import PatientApplication
from relay.web.pages import dry_run, library, mailbox, message, metrics, trial
from relay.web.pages.handler import PageHandler, UnknownPageHandler

FOLDER = Path(__file__).parent

# Written by hand, read once, served as they are.
TYPES = {"pages.css": "text/css; charset=UTF-8", "relay.svg": "image/svg+xml"}
FILES = {name: (FOLDER / "static" / name).read_bytes() for name in TYPES}


class StaticHandler(PageHandler):
    """GET /static/{name}: the stylesheet and the icon."""

    def get(self, name: str) -> None:
        self.set_header("Content-Type", TYPES[name])
        self.write(FILES[name])


ROUTES = [
    *mailbox.ROUTES,
    *message.ROUTES,
    *library.ROUTES,
    *trial.ROUTES,
    *dry_run.ROUTES,
    *metrics.ROUTES,
    (r"/static/(pages\.css|relay\.svg)", StaticHandler),
]


def make_pages(site: Site) -> Application:
    """Build the pages' web application."""
    return PatientApplication(
        ROUTES,
        site=site,
        listener="pages",
        template_path=str(FOLDER / "templates"),
        default_handler_class=UnknownPageHandler,
    )
