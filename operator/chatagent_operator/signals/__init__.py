"""Reads the state and the metrics of pods and gateways over HTTP."""
