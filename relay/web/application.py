"""The API's web application: every route of an open site."""

from tornado.web import Application

from relay.site import Site
from relay.web import cancel, forms, health, postmark, webhooks
from relay.web import tokens as token_routes
from relay.web.base import UnknownPathHandler


def make_app(site: Site) -> Application:
    """Build the API's web application for an open site."""
    return Application(
        [
            *forms.ROUTES,
            *cancel.ROUTES,
            *token_routes.ROUTES,
            *health.ROUTES,
            *webhooks.ROUTES,
            *postmark.ROUTES,
        ],
        site=site,
        default_handler_class=UnknownPathHandler,
        # Refusals and failures have lines of their own; a proxy in front logs requests.
        log_function=lambda handler: None,
    )
