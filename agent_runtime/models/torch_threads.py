"""How many threads torch computes one operation with, on CPUs.

The number belongs to the calling thread, and new threads inherit what was set last: so whoever
computes says it each time. With more threads than CPUs are free they wait for each other: a
question of 13 tokens then takes 0.2 s instead of 0.02.
"""

from __future__ import annotations

import torch


def use(threads: int) -> None:
    """Let torch use so many from here on, in this thread."""
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
