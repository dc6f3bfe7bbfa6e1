"""Tiny models, made and converted once."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_runtime.models.convert_generator import convert_generator
from tests.contract.runtime.models import tiny
from tests.contract.runtime.models.prompts import FUNCTIONS, TOOL_TURNS

NAMES = ("tiny/t5", "tiny/llama", "tiny/taught", "tiny/taught-t5", "tiny/described")


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all tiny models as transformers saves them."""
    folder = tmp_path_factory.mktemp("sources")
    tiny.seq2seq(folder)
    tiny.causal(folder)
    tiny.described(tiny.taught_causal(folder, FUNCTIONS, TOOL_TURNS))
    tiny.taught_seq2seq(folder)
    return folder


@pytest.fixture(scope="session")
def ctranslate2(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models folder of a CPU image."""
    return _converted(sources, tmp_path_factory.mktemp("ctranslate2"), "ctranslate2")


@pytest.fixture(scope="session")
def transformers(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models folder of an image with torch."""
    return _converted(sources, tmp_path_factory.mktemp("transformers"), "transformers")


@pytest.fixture(params=["ctranslate2", "transformers"])
def image(request: pytest.FixtureRequest) -> Path:
    """Both of them."""
    return request.getfixturevalue(request.param)


def _converted(sources: Path, output: Path, format: str) -> Path:
    for name in NAMES:
        convert_generator(str(sources / name), name, output / name, format, ())
    return output
