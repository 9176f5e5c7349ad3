"""What an op is, and every op there is: a file per family."""
