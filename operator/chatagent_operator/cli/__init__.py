"""`kubectl chatagent`: what a person sees of a rollout, and says to it.

Reads are plain reads, so that a person needs no more rights than for `kubectl get`. A command is an
annotation that the operator answers in the status; nothing of it ever stands in a manifest under
Git.
"""

from chatagent_operator.cli.program import main

__all__ = ["main"]
