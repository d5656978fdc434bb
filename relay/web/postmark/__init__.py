"""Postmark's own API, served here: sending, templates, and what clients touch around them."""
