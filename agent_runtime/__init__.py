"""A retrieval-augmented chat agent: one process serves one revision of one agent."""
