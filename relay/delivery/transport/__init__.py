"""SMTP: mail servers, the dialogue with them, and the messages handed over."""
