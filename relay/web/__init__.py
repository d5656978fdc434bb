"""The HTTP side: handlers, and what turns bodies into fields and errors into responses."""
