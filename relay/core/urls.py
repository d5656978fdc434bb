"""Addresses to listen on as URLs that people and browsers use."""

from urllib.parse import urlsplit

# Hosts that mean every address of the machine, and the one of them that is reached from here.
ANY_HOST = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - not bound here
LOCAL = ("localhost", "127.0.0.1", "::1")


def http_url(host: str, port: int) -> str:
    """Return the URL at which this machine reaches what listens on a host and port."""
    host = ANY_HOST.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def local_origins(host: str, port: int) -> set[str]:
    """Return every origin under which a browser on this machine may know a host and port."""
    hosts = LOCAL if ANY_HOST.get(host, host) in LOCAL else (host,)
    return {http_url(name, port).lower() for name in hosts}


def origin_of(url: str) -> str:
    """Return a URL's origin."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()
