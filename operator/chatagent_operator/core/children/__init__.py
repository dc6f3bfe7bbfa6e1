"""The components of an agent, one file each: objects, condition, and when objects may be deleted.

A module here that defines `COMPONENT` is a component; they are listed nowhere else.
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
"""All components; those that others depend on come first."""
