"""settings.toml made into checked, frozen settings; keys; template files."""
