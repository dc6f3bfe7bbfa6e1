"""What an image's inputs are: changed ones must be seen, others must not cost a build."""

from __future__ import annotations

import io
import json
import tarfile
from hashlib import sha256
from pathlib import Path

import pytest

from dev import buildah, image_inputs
from dev.image_loading import Exported

DOCKERFILE = """\
ARG BASE_IMAGE
FROM ${BASE_IMAGE} AS code
# COPY commented /out
COPY --chown=1:1 app/code \\
    setup.cfg /app/
COPY ["two words", "/x"]
COPY --from=code /app /elsewhere
RUN --mount=type=bind,source=locks,target=/locks --mount=type=cache,target=/cache make
RUN --mount=type=bind,from=code,source=/never,target=/n true
ADD app/extra /extra
"""


@pytest.fixture
def context(tmp_path: Path) -> Path:
    files = ("app/code/main.py", "app/extra", "setup.cfg", "two words", "locks/a.lock", "README.md")
    for name in files:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    return tmp_path


def digest_of(context: Path, base: str = "base", **arguments: str) -> str:
    return image_inputs.digest(context / "Dockerfile", context, arguments, base)


def test_sources_are_those_of_the_context() -> None:
    expected = ["app/code", "setup.cfg", "two words", "locks", "app/extra"]
    assert image_inputs.copied_sources(DOCKERFILE) == expected


@pytest.mark.parametrize("name", ["app/code/main.py", "app/code/new.py", "setup.cfg", "Dockerfile"])
def test_changed_and_new_files_make_another_digest(context: Path, name: str) -> None:
    before = digest_of(context)
    (context / name).write_text("FROM scratch\nCOPY app/code setup.cfg /\n")
    assert digest_of(context) != before


def test_removed_and_executable_files_make_another_digest(context: Path) -> None:
    before = digest_of(context)
    (context / "app/code/main.py").chmod(0o755)
    executable = digest_of(context)
    (context / "locks/a.lock").unlink()
    assert len({before, executable, digest_of(context)}) == 3


def test_base_and_arguments_are_inputs(context: Path) -> None:
    digests = {
        digest_of(context),
        digest_of(context, base="b"),
        digest_of(context, ACCELERATOR="x"),
    }
    assert len(digests) == 3


def test_what_is_not_copied_is_no_input(context: Path) -> None:
    before = digest_of(context)
    (context / "README.md").write_text("changed")
    (context / "app/code/__pycache__").mkdir()
    (context / "app/code/__pycache__/main.pyc").write_text("")
    assert digest_of(context) == before


def test_dockerignore_is_heeded(context: Path) -> None:
    (context / ".dockerignore").write_text("# notes\n**/*.md\napp/code/data\n")
    before = digest_of(context)
    (context / "app/code/notes.md").write_text("")
    (context / "app/code/data").mkdir()
    (context / "app/code/data/big").write_text("")
    assert digest_of(context) == before


def test_pip_settings_of_files_and_environment_become_one_file(tmp_path: Path) -> None:
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nindex-url = https://one.example\ncert = /home/me/ca.pem\n")
    environment = {"PIP_INDEX_URL": "https://two.example/simple?a=%20", "PIP_FIND_LINKS": "/w"}
    text = buildah.pip_config(environment, [config])
    assert "index-url = https://two.example/simple?a=%20" in text
    assert f"cert = {buildah.CA_BUNDLE}" in text
    assert "/w" not in text  # a folder of the host, which a build has not got


def test_uv_takes_the_default_index() -> None:
    assert 'url = "https://one.example"' in buildah.uv_config(
        {"UV_INDEX_URL": "https://one.example"}
    )
    assert buildah.uv_config({}) == "native-tls = true\n"


def docker_archive(layers: list[bytes], config: bytes) -> io.BytesIO:
    """As buildah writes it: layers and configuration named by their digests."""
    names = [f"{sha256(layer).hexdigest()}.tar" for layer in layers]
    config_name = f"{sha256(config).hexdigest()}.json"
    manifest = json.dumps([{"Config": config_name, "Layers": names}]).encode()
    contents = {"manifest.json": manifest, config_name: config}
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in [*contents.items(), *zip(names, layers, strict=True)]:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    stream.seek(0)
    return stream


def test_only_unknown_layers_are_sent() -> None:
    layers = [b"one" * 1000, b"two" * 500]
    known = f"sha256:{sha256(layers[0]).hexdigest()}"
    sent = io.BytesIO()
    with tarfile.open(fileobj=docker_archive(layers, b"{}")) as archive:
        exported = Exported(archive)
        assert exported.size == 4500
        exported.write_oci(sent, ["localhost/a:1", "localhost/a:2"], {known})
        manifest = exported.manifest()
    sent.seek(0)
    with tarfile.open(fileobj=sent) as archive:
        names = archive.getnames()
        index = archive.extractfile("index.json")
        assert index is not None
        entries = json.loads(index.read())["manifests"]
    assert f"blobs/sha256/{sha256(layers[1]).hexdigest()}" in names
    assert known.replace("sha256:", "blobs/sha256/") not in names
    assert {entry["digest"] for entry in entries} == {f"sha256:{sha256(manifest).hexdigest()}"}
    image_names = [entry["annotations"]["io.containerd.image.name"] for entry in entries]
    assert image_names == ["localhost/a:1", "localhost/a:2"]
    assert [layer["size"] for layer in json.loads(manifest)["layers"]] == [3000, 1500]
