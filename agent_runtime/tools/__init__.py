"""What the agent can do besides answering: where tools come from, who may use them, when they are
called, and with which arguments."""
