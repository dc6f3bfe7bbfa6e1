"""The node's network namespace, the veth pair that leads to it, and the host's routes into it.

Commands enter it by `nsenter --net` and never by `ip netns exec`: that remounts /sys, which hides
the cgroups from the kubelet.
"""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path

from dev import mounts
from dev.commands import Argument, output, succeeds
from dev.errors import DevError
from dev.settings import (
    HOST_ADDRESS,
    LINK_PREFIX,
    NODE_ADDRESS,
    POD_CIDR,
    SERVICE_CIDR,
    Paths,
)

HOST_LINK = "chatagent0"
NODE_LINK = "chatagent1"
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
COMMENT = ("-m", "comment", "--comment", "chatagent-dev")
# What leaves the node for the rest of the world takes the host's address. Both directions are
# accepted by name because hosts with a firewall drop what they forward.
RULES: tuple[tuple[str, ...], ...] = (
    ("nat", "POSTROUTING", "-s", f"{NODE_ADDRESS}/32", "!", "-o", HOST_LINK, "-j", "MASQUERADE"),
    ("filter", "FORWARD", "-i", HOST_LINK, "-j", "ACCEPT"),
    ("filter", "FORWARD", "-o", HOST_LINK, "-j", "ACCEPT"),
)


def inside(paths: Paths, argv: list[Argument]) -> list[Argument]:
    """The same command, run on the node."""
    return ["nsenter", f"--net={paths.network_namespace}", "--", *argv]


def is_up(paths: Paths) -> bool:
    return (
        mounts.is_mounted(paths.network_namespace, "nsfs")
        and succeeds(["ip", "link", "show", HOST_LINK])
        and succeeds(inside(paths, ["ip", "link", "show", NODE_LINK]))
        and len(output(["ip", "route", "show", "dev", HOST_LINK]).splitlines()) == 3
    )


def ensure(paths: Paths) -> str:
    if is_up(paths):
        return "reused"
    _refuse_foreign_link(paths)
    _refuse_taken_routes()
    if not mounts.is_mounted(paths.network_namespace, "nsfs"):
        paths.network_namespace.parent.mkdir(parents=True, exist_ok=True)
        paths.network_namespace.touch()
        output(["unshare", f"--net={paths.network_namespace}", "--", "true"])
    if not succeeds(inside(paths, ["ip", "link", "show", NODE_LINK])):
        if succeeds(["ip", "link", "show", HOST_LINK]):  # its peer went with an older namespace
            output(["ip", "link", "delete", HOST_LINK])
        # fmt: off
        output([
            "ip", "link", "add", HOST_LINK, "type", "veth",
            "peer", "name", NODE_LINK, "netns", str(paths.network_namespace),
        ])
        # fmt: on
    output(["ip", "link", "set", HOST_LINK, "alias", str(paths.state)])
    output(["ip", "address", "replace", f"{HOST_ADDRESS}/{LINK_PREFIX}", "dev", HOST_LINK])
    output(["ip", "link", "set", HOST_LINK, "up"])
    _configure_node(paths)
    for cidr in (SERVICE_CIDR, POD_CIDR):
        output(["ip", "route", "replace", cidr, "via", NODE_ADDRESS, "dev", HOST_LINK])
    _open_way_out(paths)
    return "set up"


def _configure_node(paths: Paths) -> None:
    address = f"{NODE_ADDRESS}/{LINK_PREFIX}"
    for command in (
        ["ip", "link", "set", "lo", "up"],
        ["ip", "address", "replace", address, "dev", NODE_LINK],
        ["ip", "link", "set", NODE_LINK, "up"],
        ["ip", "route", "replace", "default", "via", HOST_ADDRESS],
        # Each pod has a route of its own. Without this one, packets for a pod that is gone or fake
        # would go back to the host and around; so a connection fails at once.
        ["ip", "route", "replace", "unreachable", POD_CIDR],
        ["sh", "-c", f"echo 1 > {FORWARDING}"],
    ):
        output(inside(paths, [*command]))


def _refuse_foreign_link(paths: Paths) -> None:
    """Two clusters of this kind would share addresses; only one may run on a machine."""
    if not succeeds(["ip", "link", "show", HOST_LINK]):
        return
    link = json.loads(output(["ip", "-json", "link", "show", HOST_LINK]))[0]
    owner = link.get("ifalias", str(paths.state))
    if owner != str(paths.state):
        raise DevError(
            f"a cluster with its state in {owner} runs here already; end it with\n"
            f"    CHATAGENT_DEV_STATE={owner} python3 -m dev down"
        )


def _refuse_taken_routes() -> None:
    routes = json.loads(output(["ip", "-json", "route", "show"]))
    taken = [
        f"{route['dst']} (dev {route.get('dev', '?')})"
        for route in routes
        if route.get("dev") != HOST_LINK and _overlaps(route["dst"])
    ]
    if taken:
        raise DevError(
            f"the cluster needs {SERVICE_CIDR}, {POD_CIDR} and {NODE_ADDRESS}, but this machine "
            f"has routes to {', '.join(taken)}"
        )


def _overlaps(destination: str) -> bool:
    if destination == "default":
        return False
    network = ipaddress.ip_network(destination, strict=False)
    ours = (SERVICE_CIDR, POD_CIDR, f"{NODE_ADDRESS}/32")
    return any(network.overlaps(ipaddress.ip_network(cidr)) for cidr in ours)


def _open_way_out(paths: Paths) -> None:
    """Image pulls and pods may reach the world. Kept for `down`: how forwarding was before."""
    before = paths.run / "ip_forward"
    if not before.exists():
        before.write_text(FORWARDING.read_text())
    FORWARDING.write_text("1")
    for table, chain, *rule in RULES:
        if not succeeds(["iptables", "-w", "-t", table, "-C", chain, *rule, *COMMENT]):
            output(["iptables", "-w", "-t", table, "-A", chain, *rule, *COMMENT])


def remove(paths: Paths) -> None:
    """Undo all of `ensure`. Deleting the link takes the addresses and routes with it."""
    if Path("/usr/sbin/iptables").exists():
        for table, chain, *rule in RULES:
            while succeeds(["iptables", "-w", "-t", table, "-D", chain, *rule, *COMMENT]):
                pass
    if succeeds(["ip", "link", "show", HOST_LINK]):
        _refuse_foreign_link(paths)
        output(["ip", "link", "delete", HOST_LINK])
    before = paths.run / "ip_forward"
    if before.exists():
        FORWARDING.write_text(before.read_text())
        before.unlink()
    while mounts.is_mounted(paths.network_namespace, "nsfs"):
        output(["umount", str(paths.network_namespace)])
    paths.network_namespace.unlink(missing_ok=True)
