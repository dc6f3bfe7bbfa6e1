"""`kubectl chatagent version`: the versions of this program and of the operators in the cluster."""

from __future__ import annotations

import argparse
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from chatagent_operator.cli.cluster import Cluster
from chatagent_operator.cli.printing import format_table
from chatagent_operator.cli.result import Result, fixed_result
from chatagent_operator.core.agent import Manifest
from chatagent_operator.kube.errors import RejectedError

VERSION_LABEL = "app.kubernetes.io/version"


def find_client_version() -> str:
    """Return the version of this program."""
    try:
        return version("chatagent")
    except PackageNotFoundError:
        return "unknown"  # it runs from a checkout that is not installed


def show_client_version() -> Result:
    """Show the version of this program only. No cluster is needed."""
    client = find_client_version()
    return fixed_result({"client": client}, f"client  {client}")


async def show_version(cluster: Cluster, arguments: argparse.Namespace) -> Result:
    """Show the versions of this program and of the operators that are installed.

    They are looked for in all namespaces, or in the one that is named.
    """
    client, warning = find_client_version(), None
    namespace: str | None = arguments.namespace
    try:
        operators = [_describe(each) for each in await cluster.operators(namespace)]
    except RejectedError as error:
        operators = []
        warning = f"the operator's version is unknown: {error.message}; name its namespace with -n"
    if not operators and warning is None:
        place = f"namespace {namespace!r}" if namespace else "this cluster"
        warning = f"there is no operator in {place}"
    rows = [
        ["operator", each["version"], f"{each['namespace']}/{each['name']} {each['image']}"]
        for each in operators
    ]
    lines = format_table(["client", client, ""], rows)
    return fixed_result({"client": client, "operators": operators}, "\n".join(lines), warning)


def _describe(deployment: Manifest) -> dict[str, Any]:
    metadata = deployment["metadata"]
    return {
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "version": (metadata.get("labels") or {}).get(VERSION_LABEL, "unknown"),
        "image": deployment["spec"]["template"]["spec"]["containers"][0]["image"],
    }
