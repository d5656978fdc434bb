"""What schemathesis makes up for the formats that are Relay's own: addresses and times."""

import schemathesis
from hypothesis import strategies as st

_LOCAL = st.from_regex(r"[a-z][a-z0-9]{1,12}", fullmatch=True)
ADDRESS = _LOCAL.map(lambda name: f"{name}@example.gov")
MAILBOX = ADDRESS | ADDRESS.map(lambda address: f"Jane Doe <{address}>")
TIME = st.sampled_from(["+5 minutes", "tomorrow 9am", "+1 week"])

schemathesis.openapi.format("mailbox", MAILBOX)
schemathesis.openapi.format(
    "mailbox-list", st.lists(MAILBOX, min_size=1, max_size=3).map(", ".join)
)
schemathesis.openapi.format("send-time", TIME)
