"""The stylesheet and the icon: written by hand, read once, served as they are."""

from pathlib import Path

from relay.web.pages.handler import PageHandler

FOLDER = Path(__file__).parent / "static"
TYPES = {"pages.css": "text/css; charset=UTF-8", "relay.svg": "image/svg+xml"}
FILES = {name: (FOLDER / name).read_bytes() for name in TYPES}


class StaticHandler(PageHandler):
    """GET /static/{name}."""

    def get(self, name: str) -> None:
        self.set_header("Content-Type", TYPES[name])
        self.write(FILES[name])


ROUTES = [(r"/static/(pages\.css|relay\.svg)", StaticHandler)]
