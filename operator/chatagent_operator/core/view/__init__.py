"""The view: facts derived from the observed state, each once, for all decisions."""
