"""The API's web application: every route of an open site."""

from tornado.web import Application

from relay.site import Site
from relay.web import cancel, challenges, forms, health, openapi, postmark, tokens, webhooks
from relay.web.base import UnknownPathHandler
from relay.web.connections import PatientApplication

ROUTES = [
    *forms.ROUTES,
    *cancel.ROUTES,
    *tokens.ROUTES,
    *challenges.ROUTES,
    *health.ROUTES,
    *openapi.ROUTES,
    *webhooks.ROUTES,
    *postmark.ROUTES,
]


def make_app(site: Site) -> Application:
    """Build the API's web application for an open site."""
    return PatientApplication(
        ROUTES,
        site=site,
        default_handler_class=UnknownPathHandler,
    )
