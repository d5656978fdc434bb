"""Forms that are declared in the settings: their fields, and the message they make."""
