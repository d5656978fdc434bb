"""Canaries: forms of Relay's own, posted to see that mail arrives."""
