"""What follows from the observation: each fact derived once, for all that decide."""
