"""Group, version and names of the resource, for modules that need nothing else of it."""

from __future__ import annotations

GROUP = "chatagent.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "ChatAgent"
PLURAL = "chatagents"
