"""What an agent is made of, one file for each thing: its objects, its condition, when it may go.

A module here that defines `COMPONENT` is one such thing; nothing else lists them.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules

from chatagent_operator.core.children.component import Component


def _discover() -> Iterator[Component]:
    for found in iter_modules(__path__):
        component = getattr(import_module(f"{__name__}.{found.name}"), "COMPONENT", None)
        if isinstance(component, Component):
            yield component


COMPONENTS = tuple(sorted(_discover(), key=lambda component: component.order))
"""What others depend on comes first."""
