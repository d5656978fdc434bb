"""The console: the operators' pages, on a listener of their own, where people sign in."""

from pathlib import Path

from tornado.web import Application

from relay.site import Site
from relay.web.connections import PatientApplication
from relay.web.console import (
    acts,
    identity,
    message,
    messages,
    operators,
    orders,
    overview,
    person,
    screened,
    servers,
    sign_in,
    suppressions,
    templates,
    to_do,
    you,
)
from relay.web.console.handler import OpenHandler, UnknownScreenHandler
from relay.web.pages import FILES as SHARED_FILES
from relay.web.pages import TYPES as SHARED_TYPES
from relay.web.pages import metrics

FOLDER = Path(__file__).parent

TYPES = {"console.css": "text/css; charset=UTF-8", "console.js": "text/javascript; charset=UTF-8"}
FILES = SHARED_FILES | {name: (FOLDER / "static" / name).read_bytes() for name in TYPES}


class StaticHandler(OpenHandler):
    """GET /static/{name}: the stylesheets, the script and the icon."""

    def get(self, name: str) -> None:
        self.set_header("Content-Type", (SHARED_TYPES | TYPES)[name])
        self.write(FILES[name])


ROUTES = [
    *message.ROUTES,
    *overview.ROUTES,
    *person.ROUTES,
    *messages.ROUTES,
    *to_do.ROUTES,
    *orders.ROUTES,
    *screened.ROUTES,
    *suppressions.ROUTES,
    *servers.ROUTES,
    *templates.ROUTES,
    *acts.ROUTES,
    *operators.ROUTES,
    *you.ROUTES,
    *sign_in.ROUTES,
    *identity.ROUTES,
    *metrics.ROUTES,
    (r"/static/(pages\.css|console\.css|console\.js|relay\.svg)", StaticHandler),
]


def make_console(site: Site) -> Application:
    """Build the console's web application."""
    return PatientApplication(
        ROUTES,
        site=site,
        listener="console",
        template_path=str(FOLDER / "templates"),
        default_handler_class=UnknownScreenHandler,
    )
