"""Turns ChatAgents into the objects that serve them, and moves new revisions out gradually."""
