"""Mail of Relay's own: receipts to writers, alerts to operators."""
