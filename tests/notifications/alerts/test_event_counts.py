"""What a daemon saw, as it tells it to the one that leads."""

from relay.notifications.alerts.event_counts import EventCount, report, with_reports
from relay.store.alerts import AlertKey


def test_what_is_reported_is_read_as_it_was_counted() -> None:
    seen = {AlertKey("keys", ""): EventCount(), AlertKey("bounced", "registry"): EventCount()}
    seen[AlertKey("keys", "")].add("unknown_key", count=2)
    seen[AlertKey("keys", "")].add("key_revoked")
    seen[AlertKey("bounced", "registry")].add("hard", "id", "no such mailbox")
    assert with_reports({}, [report(seen)]) == seen
