"""Calls to those whom the settings name, when something happens to a message."""
