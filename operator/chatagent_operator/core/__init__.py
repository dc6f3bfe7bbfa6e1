"""Pure decision logic, without I/O: no await, clock, environment or log."""
