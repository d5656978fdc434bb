"""Alerts: what an operator is told, by mail of its own, when something goes wrong."""
