"""The keys of test settings: their tables, their secrets, and the environment that holds these."""

APPLICATION_KEY = "application-key-application-key-0"
PAGE_KEY = "page-key-page-key-page-key-page-key"
OTHER_KEY = "other-key-other-key-other-key-other"
ACCOUNT_KEY = "account-key-account-key-account-ke"

ENVIRONMENT = {
    "APPLICATION_KEY": APPLICATION_KEY,
    "PAGE_KEY": PAGE_KEY,
    "OTHER_KEY": OTHER_KEY,
    "ACCOUNT_KEY": ACCOUNT_KEY,
    "POSTMARK_TOKEN": "postmark-server-token",
}


def key(name: str, *servers: str, kind: str = "secret") -> str:
    """Return the table of a key for these servers; its secret stands in `NAME_KEY`.

    It has no brace, so that it may stand in a text to be formatted.
    """
    listed = ", ".join(f'"{server}"' for server in servers)
    return (
        f'\n[keys.{name}]\nsecret.env = "{name.upper()}_KEY"\n'
        f'kind = "{kind}"\nservers = [{listed}]\n'
    )
