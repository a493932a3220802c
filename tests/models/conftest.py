"""What the tests of models share: a small file of weights, an empty cache, and a way to publish weights."""

import dataclasses
import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torchvision import models as torchvision_models

from engine.models import zoo

TINY = "squeezenet1_1"  # 5 MB

Publish = Callable[..., str]
Write = Callable[[object], Path]


def serialise(state: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def tiny_file() -> bytes:
    return serialise(torchvision_models.squeezenet1_1().state_dict())


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty TORCH_HOME's folder of checkpoints."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path / "hub" / "checkpoints"


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Let a model's default weights be `data` under `base`/NAME-HASH.pth; returns that file name."""

    def publish(name: str, data: bytes, base: str = "http://127.0.0.1:9") -> str:
        file = f"{name}-{hashlib.sha256(data).hexdigest()[:8]}.pth"
        spec = dataclasses.replace(zoo.MODELS[name], url=f"{base}/models/{file}")
        monkeypatch.setitem(zoo.MODELS, name, spec)
        return file

    return publish
