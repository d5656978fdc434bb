"""What writers are told about their messages, and by which reference number."""
