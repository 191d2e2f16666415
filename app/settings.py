"""The environment, read once into one frozen `Settings`. docs/settings.md lists them; a test compares the two."""

import re
from ipaddress import IPv6Address
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

DEFAULT_BUNDLE = Path(__file__).parents[1] / "model" / "bundles" / "default"
HOST_NAME = re.compile(r"\w(?:[\w.-]*\w)?")  # or an IPv4 address


class Settings(BaseSettings):
    """Each field is an environment variable: `queue_size` is `MONOTWIN_QUEUE_SIZE`. An empty one counts as unset."""

    model_config = SettingsConfigDict(env_prefix="MONOTWIN_", env_ignore_empty=True, frozen=True, extra="forbid")

    bundle: Path = Field(DEFAULT_BUNDLE, description="Folder of the bundle to serve; the packaged one by default.")
    bundles_dir: Path | None = Field(
        None, description="Folder whose sub-folders are bundles to serve beside it, each under the name in its manifest."
    )
    data_dir: Path = Field(
        Path("data"), description="Folder for all state of the service: the jobs with their uploads and results."
    )
    device: Literal["auto", "cuda", "cpu"] = Field(
        "auto",
        description="Where the network runs: `cuda` fails without a usable GPU, `auto` then takes the CPU and says why.",
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    threads: int | None = Field(None, ge=1, description="Threads of one network run on the CPU; by default the runtime's choice.")
    slots: int | None = Field(
        None,
        ge=1,
        le=64,
        description="Reconstructions in hand at once, taking turns on the device; by default 2 on a CPU, 8 on a GPU.",
    )
    max_upload_bytes: int = Field(
        30_000_000, ge=1, description="Largest body of one reconstruction, counted while it streams in."
    )
    max_pixels: int = Field(50_000_000, ge=1, description="Largest image, read from its header before anything is decoded.")
    max_batch_images: int = Field(64, ge=1, description="Most images in one batch.")
    max_batch_bytes: int = Field(200_000_000, ge=1, description="Largest body of a batch, counted while it streams in.")
    upload_seconds: float = Field(60.0, gt=0, description="Longest time a body may take to arrive.")
    queue_size: int = Field(8, ge=1, description="Reconstructions that may wait behind those in hand; more are a 503.")
    deadline_seconds: float = Field(60.0, gt=0, description="Longest wait for a mesh, in the queue and at work; then a 504.")
    drain_seconds: float = Field(60.0, ge=0, description="Longest time a stopping service finishes what it has in hand.")
    jobs_url: str | None = Field(
        None, description="SQLAlchemy address of the database of jobs; by default an SQLite file in the data folder."
    )
    job_slots: int = Field(1, ge=1, description="Jobs that this process has in hand at once.")
    max_jobs: int = Field(1000, ge=1, description="Jobs that may wait; more are a 503.")
    result_seconds: float = Field(86_400.0, gt=0, description="How long the results of a finished job are kept.")
    keys_file: Path | None = Field(None, description="TOML file of API keys, hashed; without one everybody may call.")
    requests_per_minute: int | None = Field(
        None, ge=1, description="Reconstructions a minute that one key, or without keys one address, may ask for."
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Origins, separated by commas, whose pages may call from a browser; none by default."
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Names, separated by commas, under which requests may address the service, `*` for any; by default any, but "
        "without keys on a loopback address only the machine's own.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe event that is logged.")
    log_format: Literal["json", "console"] = Field("json", description="One JSON object per line, or text for people.")

    @field_validator("cors_origins", "allowed_hosts", mode="before")
    @classmethod
    def _separate(cls, given: object) -> object:
        return tuple(part.strip() for part in given.split(",") if part.strip()) if isinstance(given, str) else given

    @field_validator("allowed_hosts")
    @classmethod
    def _check_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name != "*" and not HOST_NAME.fullmatch(name):
                try:
                    IPv6Address(name.strip("[]"))
                except ValueError:
                    what = "names or addresses without scheme, port or wildcard (twin.example), or * alone"
                    raise ValueError(f"expected {what}, found {name}") from None
        return names

    @property
    def jobs_address(self) -> str:
        """`jobs_url`, or the SQLite file in the data folder."""
        return self.jobs_url or f"sqlite:///{self.data_dir / 'jobs.sqlite'}"
