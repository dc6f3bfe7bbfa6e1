"""Generators: what writes the reply from the passages."""
