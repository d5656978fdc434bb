"""Backup, restore, audit, housekeeping."""
