"""The values that travel, the errors, and small pure modules."""
