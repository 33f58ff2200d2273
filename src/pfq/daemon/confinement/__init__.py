"""What the daemon gives up before it serves."""
