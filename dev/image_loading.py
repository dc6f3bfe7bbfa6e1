"""Brings built images into the cluster's containerd.

buildah writes an image with its layers uncompressed (as a docker-archive; every other format of
this version packs them, which costs more time than it saves space). containerd is then sent only
the layers that it has not got, so that a changed last layer costs that layer alone.
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, cast

from dev import containers
from dev.buildah import buildah
from dev.commands import CommandRunner
from dev.errors import DevError
from dev.settings import Paths

OCI = "application/vnd.oci.image"
LAYOUT = b'{"imageLayoutVersion": "1.0.0"}'
Descriptor = dict[str, Any]


def archive_of(paths: Paths, image: str) -> Path:
    return paths.image_storage / "exported" / f"{image}.tar"


def export(paths: Paths, runner: CommandRunner, image: str, reference: str, log: Path) -> None:
    final = archive_of(paths, image)
    final.parent.mkdir(parents=True, exist_ok=True)
    scratch = final.with_suffix(".new")
    scratch.unlink(missing_ok=True)  # buildah does not write over an archive
    runner.run([*buildah(paths), "push", reference, f"docker-archive:{scratch}:{reference}"], log)
    scratch.replace(final)


class Exported:
    """A docker-archive, read as the OCI image that it amounts to. Layers are named by digest."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive
        listed = json.loads(self._read("manifest.json"))[0]
        self._layers = [cast("str", name) for name in listed["Layers"]]
        self.config = self._read(listed["Config"])

    @property
    def size(self) -> int:
        """Bytes of all layers, unpacked."""
        return sum(self._archive.getmember(name).size for name in self._layers)

    def manifest(self) -> bytes:
        layers = [
            {
                "mediaType": f"{OCI}.layer.v1.tar",
                "digest": _digest_of(name),
                "size": self._archive.getmember(name).size,
            }
            for name in self._layers
        ]
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.manifest.v1+json",
            "config": {"mediaType": f"{OCI}.config.v1+json", **_described(self.config)},
            "layers": layers,
        }
        return json.dumps(manifest).encode()

    def write_oci(self, stream: IO[bytes], names: Sequence[str], known: Iterable[str]) -> None:
        """As an OCI archive for `ctr`, without the layers whose digests are known there."""
        manifest = self.manifest()
        entry = {"mediaType": f"{OCI}.manifest.v1+json", **_described(manifest)}
        index = {
            "schemaVersion": 2,
            "manifests": [
                {**entry, "annotations": {"io.containerd.image.name": name}} for name in names
            ],
        }
        with tarfile.open(fileobj=stream, mode="w|", bufsize=1 << 20) as target:
            _add(target, "oci-layout", LAYOUT)
            _add(target, "index.json", json.dumps(index).encode())
            for content in (self.config, manifest):
                _add(target, _blob_path(_described(content)["digest"]), content)
            for name in dict.fromkeys(self._layers):
                if _digest_of(name) not in known:
                    member = tarfile.TarInfo(_blob_path(_digest_of(name)))
                    member.size = self._archive.getmember(name).size
                    target.addfile(member, self._archive.extractfile(name))

    def _read(self, name: str) -> bytes:
        member = self._archive.extractfile(name)
        if member is None:
            raise DevError(f"{self._archive.name}: {name} is no file")
        return member.read()


def _digest_of(layer: str) -> str:
    return f"sha256:{layer.removesuffix('.tar')}"


def _described(content: bytes) -> Descriptor:
    return {"digest": f"sha256:{hashlib.sha256(content).hexdigest()}", "size": len(content)}


def _blob_path(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def unpacked_size(paths: Paths, image: str) -> int:
    archive = archive_of(paths, image)
    if not archive.exists():
        raise DevError(f"{image} is not built yet; run `python3 -m dev images {image}`")
    with tarfile.open(archive) as file:
        return Exported(file).size


def load(paths: Paths, image: str, references: Sequence[str]) -> None:
    """Import an exported image under all its names."""
    with tarfile.open(archive_of(paths, image)) as file:
        exported = Exported(file)
        known = containers.blobs(paths)
        try:
            _import(paths, exported, references, known)
        except DevError:  # a layer was collected in between: send them all
            _import(paths, exported, references, set())


def _import(paths: Paths, exported: Exported, names: Sequence[str], known: set[str]) -> None:
    importing = subprocess.Popen(
        [str(word) for word in containers.ctr(paths, "images", "import", "-")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    stdin, stdout = cast("IO[bytes]", importing.stdin), cast("IO[bytes]", importing.stdout)
    with suppress(BrokenPipeError):  # what ctr has to say about it comes below
        exported.write_oci(stdin, names, known)
    with suppress(BrokenPipeError):
        stdin.close()
    said = stdout.read().decode(errors="replace")
    if importing.wait() != 0:
        raise DevError(f"containerd did not take {names[0]}: {said.strip()}")
