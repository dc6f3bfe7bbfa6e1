"""Brings built images into the cluster's containerd.

buildah writes an image's layers, uncompressed, into an OCI layout that all images share; containerd
is then given only the layers that it has not got. So a changed last layer costs that layer alone.
"""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

from dev import containers
from dev.buildah import buildah
from dev.commands import CommandRunner
from dev.errors import DevError
from dev.settings import Paths

Descriptor = dict[str, Any]
OCI_LAYOUT = b'{"imageLayoutVersion": "1.0.0"}'


def layout_of(paths: Paths) -> Path:
    return paths.image_storage / "layout"


def export(paths: Paths, runner: CommandRunner, name: str, log: Path) -> None:
    target = f"oci:{layout_of(paths)}:{name}"
    runner.run([*buildah(paths), "push", "--disable-compression", name, target], log)


def manifest_descriptor(paths: Paths, name: str) -> Descriptor:
    """Of the image as it was exported last."""
    index = json.loads((layout_of(paths) / "index.json").read_text())
    for descriptor in cast("list[Descriptor]", index["manifests"]):
        if descriptor.get("annotations", {}).get("org.opencontainers.image.ref.name") == name:
            return descriptor
    raise DevError(f"{name}: not exported")


def _blob(paths: Paths, digest: str) -> Path:
    return layout_of(paths) / "blobs" / Path(*digest.split(":"))


def _manifest(paths: Paths, descriptor: Descriptor) -> dict[str, Any]:
    return json.loads(_blob(paths, descriptor["digest"]).read_text())


def unpacked_size(paths: Paths, name: str) -> int:
    """Bytes of all layers, which the layout holds uncompressed."""
    manifest = _manifest(paths, manifest_descriptor(paths, name))
    return sum(int(layer["size"]) for layer in manifest["layers"])


def load(paths: Paths, exported: str, names: Sequence[str]) -> None:
    """Import one exported image under all its names."""
    known = containers.blobs(paths)
    try:
        _import(paths, exported, names, known)
    except DevError:
        if not known:
            raise
        _import(paths, exported, names, set())  # a layer was collected in between: send them all


def _import(paths: Paths, exported: str, names: Sequence[str], known: set[str]) -> None:
    descriptor = manifest_descriptor(paths, exported)
    manifest = _manifest(paths, descriptor)
    digests = [layer["digest"] for layer in [manifest["config"], *manifest["layers"]]]
    needed = [descriptor["digest"], *(d for d in dict.fromkeys(digests) if d not in known)]
    importing = subprocess.Popen(
        [str(word) for word in containers.ctr(paths, "images", "import", "-")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    stream = cast("BinaryIO", importing.stdin)
    try:
        with stream:
            write_archive(stream, paths, descriptor, names, needed)
    except BrokenPipeError:
        pass  # what ctr has to say about it comes below
    said = cast("BinaryIO", importing.stdout).read().decode(errors="replace")
    if importing.wait() != 0:
        raise DevError(f"containerd did not take {names[0]}: {said.strip()}")


def write_archive(
    stream: BinaryIO,
    paths: Paths,
    descriptor: Descriptor,
    names: Sequence[str],
    digests: Sequence[str],
) -> None:
    entries = [{**descriptor, "annotations": {"io.containerd.image.name": name}} for name in names]
    index = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
    with tarfile.open(fileobj=stream, mode="w|", bufsize=1 << 20) as archive:
        for name, content in {"oci-layout": OCI_LAYOUT, "index.json": index}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for digest in digests:
            archive.add(_blob(paths, digest), f"blobs/{digest.replace(':', '/')}")


def collect_garbage(paths: Paths) -> None:
    """Remove from the layout what no image of its index needs any more."""
    layout = layout_of(paths)
    if not (layout / "index.json").exists():
        return
    needed: set[Path] = set()
    for descriptor in json.loads((layout / "index.json").read_text())["manifests"]:
        manifest = _manifest(paths, descriptor)
        for item in (descriptor, manifest["config"], *manifest["layers"]):
            needed.add(_blob(paths, item["digest"]))
    for blob in (layout / "blobs" / "sha256").iterdir():
        if blob not in needed:
            blob.unlink()
