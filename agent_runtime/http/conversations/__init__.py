"""/v1/conversations: what the agent remembers, for whoever it belongs to."""
