"""A thread that gives way to the others of its process."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

NICE = 10


def quiet_thread() -> ThreadPoolExecutor:
    """Return an executor of one thread at low priority, for work that nobody waits for."""
    return ThreadPoolExecutor(1, thread_name_prefix="ingest", initializer=_give_way)


def _give_way() -> None:
    # On Linux a thread has a priority of its own, and its threads inherit it.
    thread = threading.get_native_id()
    lower = max(NICE, os.getpriority(os.PRIO_PROCESS, thread))
    os.setpriority(os.PRIO_PROCESS, thread, lower)
