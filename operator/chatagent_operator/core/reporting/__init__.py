"""The status: conditions, phase and Events."""
