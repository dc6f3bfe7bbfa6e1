"""The composition root: which adapter stands behind which port, and nothing else.

What only one command needs is imported there, since it brings packages that another image or
command does without.
"""

from __future__ import annotations

from agent_runtime.wiring.commands import check, convert, ingest, serve
from agent_runtime.wiring.compose import compose
from agent_runtime.wiring.evaluation import compare, evaluate
from agent_runtime.wiring.runtime import Runtime

__all__ = ["Runtime", "check", "compare", "compose", "convert", "evaluate", "ingest", "serve"]
