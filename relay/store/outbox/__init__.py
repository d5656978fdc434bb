"""A message's life in the database."""
