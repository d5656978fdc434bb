"""What the commands do. Those that write go through the daemon's socket, where one runs."""
