"""The environment, read once into one frozen `Settings`. docs/settings.md lists them; a test compares the two."""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

DEFAULT_BUNDLE = Path(__file__).parents[1] / "model" / "bundles" / "default"


class Settings(BaseSettings):
    """Each field is an environment variable: `queue_size` is `MONOTWIN_QUEUE_SIZE`. An empty one counts as unset."""

    model_config = SettingsConfigDict(env_prefix="MONOTWIN_", env_ignore_empty=True, frozen=True, extra="forbid")

    bundle: Path = Field(DEFAULT_BUNDLE, description="Folder of the bundle to serve; the packaged one by default.")
    data_dir: Path = Field(Path("data"), description="Folder for all state of the service. Synchronous answers leave none.")
    device: Literal["auto", "cuda", "cpu"] = Field(
        "auto",
        description="Where the network runs: `cuda` fails without a usable GPU, `auto` then takes the CPU and says why.",
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    threads: int | None = Field(None, ge=1, description="Threads of one network run on the CPU; by default the runtime's choice.")
    max_upload_bytes: int = Field(30_000_000, ge=1, description="Largest request body, counted while it streams in.")
    max_pixels: int = Field(50_000_000, ge=1, description="Largest image, read from its header before anything is decoded.")
    queue_size: int = Field(8, ge=1, description="Reconstructions that may wait behind the running one; more are a 503.")
    deadline_seconds: float = Field(60.0, gt=0, description="Longest wait for a mesh, in the queue and at work; then a 504.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe event that is logged.")
    log_format: Literal["json", "console"] = Field("json", description="One JSON object per line, or text for people.")
