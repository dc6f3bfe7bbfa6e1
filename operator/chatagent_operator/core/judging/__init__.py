"""How a new revision is judged: by its metrics and by the quality of its answers."""
