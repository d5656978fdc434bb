"""Intake: from a submission or an API call to a stored message."""
