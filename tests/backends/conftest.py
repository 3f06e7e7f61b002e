"""Tiny image-editing pipelines on disk; the reference pictures that two of diffusers' pipelines enlarge stay small."""

from pathlib import Path

import pytest
from diffusers.pipelines.flux import pipeline_flux_kontext
from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit_plus

from tests.tiny_editors import SAVERS, SIZE


@pytest.fixture(autouse=True)
def small_references(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONDITION_IMAGE_SIZE", "VAE_IMAGE_SIZE"):
        monkeypatch.setattr(pipeline_qwenimage_edit_plus, name, SIZE[0] * SIZE[1])
    monkeypatch.setattr(pipeline_flux_kontext, "PREFERRED_KONTEXT_RESOLUTIONS", [SIZE])


@pytest.fixture(scope="session")
def editors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder for each back end."""
    return {name: save(tmp_path_factory.mktemp(name)) for name, save in SAVERS.items()}
