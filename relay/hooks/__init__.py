"""The hooks that plugins implement, a server's chain of plugins, and loading them."""
