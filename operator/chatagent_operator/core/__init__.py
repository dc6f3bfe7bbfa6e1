"""Decisions without I/O: no await, clock, environment or log."""
