"""The rollout: its state, its steps, the commands that change it, and how it advances."""
