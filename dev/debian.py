"""Debian packages: installs what is missing, and keeps the packages' own daemons from starting."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from dev.commands import CommandRunner, output, succeeds
from dev.errors import DevError

# Each package with a file that proves that it, or another package that does the same, is there.
# Asking for files and not for packages keeps Debian's containerd from replacing Docker's.
PACKAGES: dict[str, tuple[str, ...]] = {
    "buildah": ("/usr/bin/buildah",),
    "ca-certificates": ("/etc/ssl/certs/ca-certificates.crt",),
    "conntrack": ("/usr/sbin/conntrack",),
    "containerd": ("/usr/bin/containerd", "/usr/bin/ctr", "/usr/bin/containerd-shim-runc-v2"),
    "containernetworking-plugins": ("/usr/lib/cni/ptp", "/usr/lib/cni/host-local"),
    "debootstrap": ("/usr/sbin/debootstrap",),
    "docker-registry": ("/usr/bin/docker-registry",),
    "haproxy": ("/usr/sbin/haproxy",),
    "iproute2": ("/sbin/ip",),
    "iptables": ("/usr/sbin/iptables",),
    "openssl": ("/usr/bin/openssl",),
    "python3-venv": ("/usr/lib/python3.11/ensurepip/__init__.py",),
    "redis-server": ("/usr/bin/redis-server",),
    "runc": ("/usr/sbin/runc",),
}

# Daemons that these packages would have start at the next boot.
UNITS = {
    "containerd": "containerd.service",
    "docker-registry": "docker-registry.service",
    "haproxy": "haproxy.service",
    "redis-server": "redis-server.service",
}

GUARD = Path("/usr/sbin/policy-rc.d")
GUARD_TEXT = (
    "#!/bin/sh\n# chatagent-dev: no daemon starts while its package is installed\nexit 101\n"
)
# Wait for other users of apt rather than fail beside them.
APT = ("apt-get", "-o", "DPkg::Lock::Timeout=600", "-q", "-y")


def missing() -> list[str]:
    return [name for name, files in PACKAGES.items() if not all(Path(f).exists() for f in files)]


def ensure_packages(runner: CommandRunner, log: Path, note: Callable[[str], None]) -> str:
    remove_guard()  # of a run that was killed in the middle
    packages = missing()
    if not packages:
        return "reused"
    if not Path("/usr/bin/apt-get").exists():
        raise DevError("this needs Debian's apt-get to install " + ", ".join(packages))
    note("installing " + " ".join(packages))
    if output(["dpkg", "--audit"]).strip():
        _apt(["dpkg", "--configure", "-a"], runner, log)
    install = [*APT, "--no-install-recommends", "install", *packages]
    if not any(Path("/var/lib/apt/lists").glob("*_Packages*")):
        _apt([*APT, "update"], runner, log)
    with daemons_stay_off():
        try:
            _apt(install, runner, log)
        except DevError:
            if runner.cancelled:
                raise
            note("the package lists are too old; updating them")
            _apt([*APT, "update"], runner, log)
            _apt(install, runner, log)
    if Path("/run/systemd/system").exists():
        for unit in (UNITS[package] for package in packages if package in UNITS):
            succeeds(["systemctl", "disable", unit])
    if still := missing():
        raise DevError(f"installed, but not where expected: {', '.join(still)}; see {log}")
    return f"installed {len(packages)} packages"


def _apt(argv: list[str], runner: CommandRunner, log: Path) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    runner.run(argv, log, environment=environment, interruptible=False)


@contextmanager
def daemons_stay_off() -> Generator[None]:
    """Debian's own way: packages ask policy-rc.d. One that is there already is left alone."""
    if not GUARD.exists():
        GUARD.write_text(GUARD_TEXT)
        GUARD.chmod(0o755)
    try:
        yield
    finally:
        remove_guard()


def remove_guard() -> None:
    if GUARD.exists() and GUARD.read_text() == GUARD_TEXT:
        GUARD.unlink()
