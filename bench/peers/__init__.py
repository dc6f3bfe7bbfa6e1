"""What others build for the same task, each in an environment of its own."""
