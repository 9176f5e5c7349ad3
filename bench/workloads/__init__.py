"""What the peers run, written once for each style."""
