"""Stored templates: kept in versions, checked, rendered, pushed to other servers."""
