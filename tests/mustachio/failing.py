"""What the tests of errors share."""

import pytest

from relay.mustachio import TemplateSyntaxError, parse


def errors_of(source: str, content: str | None = None) -> list[tuple[int, int, str]]:
    """Parse what must fail, and give line, character and message of every error."""
    with pytest.raises(TemplateSyntaxError) as caught:
        parse(source, content)
    return [(fault.line, fault.character, fault.message) for fault in caught.value.errors]


def bad_path(path: str) -> str:
    return f"The path '{path}' is not valid. Please see documentation for examples of valid paths."


def unclosed(path: str) -> str:
    return (
        f"A scope block to the following path was opened but not closed: '{path}',"
        " please close it using the appropriate syntax."
    )


MISMATCHED = "It appears that open and closing elements are mismatched."
EACH_WITHOUT_PATH = (
    "The 'each' block being opened requires a model path to be specified in the form"
    " '{#each <name>}'."
)
EACH_CLOSED_BADLY = "The syntax to close the 'each' block should be: '{/each}'."
EACH_NOT_OPEN = (
    "An 'each' block is being closed, but no corresponding opening element"
    " ('{#each <name>}') was detected."
)
