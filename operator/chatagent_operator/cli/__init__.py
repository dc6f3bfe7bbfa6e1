"""`kubectl chatagent`: shows rollouts, sends commands to them and talks to agents.

Reads are plain GET requests, so that they need no more permissions than `kubectl get`. A command is
written as an annotation, whose result the operator reports in the status; it never becomes part of
a manifest in Git.
"""

from chatagent_operator.cli.program import complete, main

__all__ = ["complete", "main"]
