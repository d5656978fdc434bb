"""Telling others: receipts to writers, calls to webhooks, alerts to operators."""
