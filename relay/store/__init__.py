"""The database: one writer thread, readers beside it, and the queries of each concept."""
