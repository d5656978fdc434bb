"""A client of Postmark's Templates API: an account of Postmark's, or another relay."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests

from relay.core.errors import AccountError
from relay.core.server import Account
from relay.templates.rules import TemplateDraft

PAGE = 100
CONNECT_SECONDS, READ_SECONDS = 10, 60
TRIES = 4
LONGEST_WAIT_SECONDS = 60.0
LATER = (429, 503)


@dataclass(frozen=True, slots=True)
class TemplateSummary:
    """A template as a list has it: without its parts."""

    id: int
    alias: str | None
    name: str
    type: str


class RemoteTemplates:
    """The templates of an account. Every call may take a minute; all raise AccountError.

    A call that the account puts off (429, 503) is repeated, after the time that it asks for.
    """

    def __init__(self, account: Account) -> None:
        self.host = urlsplit(account.url).netloc.rpartition("@")[2]
        self._url = account.url.rstrip("/")
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Accept"] = "application/json"
        self._session.headers["X-Postmark-Server-Token"] = account.token.reveal()

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def listed(self) -> list[TemplateSummary]:
        """List all templates, page by page."""
        found: list[TemplateSummary] = []
        while True:
            page = self._call("GET", "/templates", query={"Count": PAGE, "Offset": len(found)})
            rows = page.get("Templates")
            if not isinstance(rows, list):
                raise self._nonsense()
            found += [self._row(row) for row in rows]
            total = page.get("TotalCount")
            if not rows or not isinstance(total, int) or len(found) >= total:
                return found

    def fetch(self, id: int) -> TemplateDraft:
        """Return a template whole: "" is a part or a layout that it does not have."""
        template = self._call("GET", f"/templates/{id}")
        row = self._row(template)
        standard = row.type == "Standard"
        return TemplateDraft(
            name=row.name,
            alias=row.alias,
            type=row.type,
            subject=self._text(template, "Subject") if standard else None,
            html=self._text(template, "HtmlBody"),
            text=self._text(template, "TextBody"),
            layout=self._text(template, "LayoutTemplate") if standard else None,
            id=row.id,
        )

    def create(self, draft: TemplateDraft) -> None:
        """Make a new template; the account gives it a number of its own."""
        kind = {"Alias": draft.alias} if draft.alias else {}
        body = {**_parts(draft), **kind, "TemplateType": draft.type}
        self._call("POST", "/templates", body=body)

    def edit(self, id: int, draft: TemplateDraft) -> None:
        """Make a template what a whole draft says; its alias and its type stay."""
        self._call("PUT", f"/templates/{id}", body=_parts(draft))

    def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, int] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Mapping[str, Any]:
        for tried in range(TRIES):
            try:
                response = self._session.request(
                    method,
                    self._url + path,
                    params=query,
                    json=body,
                    timeout=(CONNECT_SECONDS, READ_SECONDS),
                    # The token is for this host alone.
                    allow_redirects=False,
                )
            except (requests.RequestException, ValueError) as error:
                # Not its words: they may repeat the token.
                raise AccountError(f"{self.host}: no answer: {type(error).__name__}") from None
            seconds = _put_off(response, tried)
            if seconds is None:
                break
            time.sleep(seconds)
        return self._read(response)

    def _read(self, response: requests.Response) -> Mapping[str, Any]:
        try:
            answer = response.json()
        except (ValueError, RecursionError):
            answer = None
        if response.status_code != 200:
            raise AccountError(f"{self.host} answered {response.status_code}{_words(answer)}")
        if not isinstance(answer, dict):
            raise self._nonsense()
        return answer

    def _row(self, row: Any) -> TemplateSummary:
        id = row.get("TemplateId") if isinstance(row, dict) else None
        if not isinstance(id, int) or isinstance(id, bool):
            raise self._nonsense()
        kind = self._text(row, "TemplateType") or "Standard"
        return TemplateSummary(id, self._text(row, "Alias") or None, self._text(row, "Name"), kind)

    def _text(self, row: Mapping[str, Any], name: str) -> str:
        value = row.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self._nonsense()
        # Half a surrogate pair, which JSON can carry, can be neither stored nor written.
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def _nonsense(self) -> AccountError:
        return AccountError(f"{self.host} answered what the Templates API does not: is it the URL?")


def _put_off(response: requests.Response, tried: int) -> float | None:
    """Return the seconds after which to try again; None if this answer is the last."""
    if response.status_code not in LATER or tried == TRIES - 1:
        return None
    asked = response.headers.get("Retry-After", "").strip()
    seconds = float(asked) if asked.isascii() and asked.isdecimal() else 2.0**tried
    return seconds if seconds <= LONGEST_WAIT_SECONDS else None


def _parts(draft: TemplateDraft) -> dict[str, Any]:
    """Return what a template is in Postmark's names; a layout has neither subject nor layout."""
    values = {"Name": draft.name, "HtmlBody": draft.html or "", "TextBody": draft.text or ""}
    if draft.type != "Layout":
        values |= {"Subject": draft.subject or "", "LayoutTemplate": draft.layout or ""}
    return values


def _words(answer: object) -> str:
    """Return the account's own error number and words, on one line that a terminal can show."""
    if not isinstance(answer, dict):
        return ""
    code, words = answer.get("ErrorCode"), re.sub(r"[\s\x00-\x1f\x7f-\x9f]+", " ", _message(answer))
    number = f" (ErrorCode {code})" if isinstance(code, int) else ""
    return f"{number}: {words[:300]}" if words else number


def _message(answer: Mapping[str, Any]) -> str:
    words = answer.get("Message")
    return words.strip() if isinstance(words, str) else ""
