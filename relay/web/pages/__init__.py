"""The mailbox's and operator's pages: a listener of their own."""

from tornado.web import Application

from relay.app import Site


def make_pages(site: Site) -> Application:
    """Build the pages' web application."""
    return Application([], site=site)
