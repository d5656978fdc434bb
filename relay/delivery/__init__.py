"""Delivery: takes what is due out of the outbox to a provider and records what came of it."""
