"""Reading what the outbox holds: lists, search, statistics."""
