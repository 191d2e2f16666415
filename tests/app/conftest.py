from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog
from PIL import Image

from app.settings import Settings
from tests.app.service import Client, FakeReconstructor, encoded, running, until_ready


@pytest.fixture(autouse=True)
def plain_logs() -> Iterator[None]:
    """Tracebacks as text: structlog's own default prints every local variable, which takes seconds for a large object."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
        ]
    )
    yield
    structlog.reset_defaults()


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    """Small limits, and nothing of the environment that the tests run in."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"MONOTWIN_{name.upper()}", raising=False)
    return Settings(queue_size=2, slots=1, deadline_seconds=10.0, max_upload_bytes=1_000_000, data_dir=tmp_path)


@pytest.fixture
def reconstructor() -> Iterator[FakeReconstructor]:
    fake = FakeReconstructor()
    yield fake
    fake.gate.set()
    fake.warm.set()


@pytest.fixture
def serve() -> Callable[..., Any]:
    """`with serve(settings, reconstructor) as client`, for a test that wants its own settings."""
    return running


@pytest.fixture
def client(settings: Settings, reconstructor: FakeReconstructor) -> Iterator[Client]:
    with running(settings, reconstructor) as client:
        yield until_ready(client)
        reconstructor.gate.set()


@pytest.fixture(scope="session")
def photo() -> bytes:
    """PNG, 64 x 48, an opaque square on transparent ground, with noise so that a cut file has missing rows."""
    pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 4), np.uint8)
    pixels[..., 3] = 0
    pixels[12:36, 20:44, 3] = 255
    return encoded(Image.fromarray(pixels, "RGBA"))
