"""Makes the embedded training set: procedural parts, their labelled points and their photographs, in parallel and resumable."""

import hashlib
import json
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from rich.progress import Progress

from training.data.families import FAMILIES, make_part, split_of
from training.data.shapes import PreparedShape, ShapeFileError, view_arrays
from training.rendering.views import render_views
from training.sampling.pools import PoolConfig, draw_pool
from training.sampling.surface import sample_surface

INDEX_VERSION = 1
INDEX_NAME = "index.json"
FIT_POINTS = 2048  # surface points behind each view's orthographic fit


@dataclass(frozen=True, kw_only=True)
class GenerateConfig:
    """What a generated set holds. Shape i is of family i mod F, with a seed made of (seed, i)."""

    shapes: int
    views: int = 8
    image_size: int = 128
    near_points: int = 24_000
    uniform_points: int = 8_000
    seed: int = 0
    families: tuple[str, ...] = field(default_factory=lambda: tuple(FAMILIES))

    def __post_init__(self) -> None:
        unknown = sorted(set(self.families) - set(FAMILIES))
        if unknown or not self.families:
            raise ValueError(f"families: expected some of {', '.join(FAMILIES)}, found {', '.join(unknown) or 'none'}")


@dataclass(frozen=True, kw_only=True)
class ShapeEntry:
    """A line of the index. file: relative to the set's folder; split: train, val or test."""

    file: str
    family: str
    kind: str
    seed: int
    split: str
    parameters: dict[str, Any]
    sha256: str


@dataclass(frozen=True, kw_only=True)
class FailedShape:
    """A shape that could not be made, and why."""

    family: str
    seed: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class DataIndex:
    """What a folder of prepared shapes holds; `index.json`."""

    directory: Path
    arguments: dict[str, Any]
    entries: tuple[ShapeEntry, ...]
    failures: tuple[FailedShape, ...] = ()

    def shapes(self, split: str) -> list[ShapeEntry]:
        """The entries of one split, in the order in which they were asked for."""
        return [entry for entry in self.entries if entry.split == split]

    def path(self, entry: ShapeEntry) -> Path:
        return self.directory / entry.file

    def files(self, split: str) -> list[Path]:
        """The prepared-shape files of one split."""
        return [self.path(entry) for entry in self.shapes(split)]

    @property
    def digest(self) -> str:
        """sha256 over the files' hashes: the identity of the set."""
        return hashlib.sha256("".join(entry.sha256 for entry in self.entries).encode()).hexdigest()

    def write(self) -> None:
        text = json.dumps(
            {
                "version": INDEX_VERSION,
                "arguments": self.arguments,
                "shapes": [asdict(entry) for entry in self.entries],
                "failures": [asdict(failure) for failure in self.failures],
            },
            indent=1,
        )
        partial = self.directory / f".{INDEX_NAME}.tmp"
        partial.write_text(text + "\n")
        partial.replace(self.directory / INDEX_NAME)

    @classmethod
    def read(cls, directory: Path) -> Self:
        path = directory / INDEX_NAME
        try:
            content = json.loads(path.read_text())
            if content["version"] != INDEX_VERSION:
                raise ValueError(f"expected version {INDEX_VERSION}, found {content['version']}")
            return cls(
                directory=directory,
                arguments=content["arguments"],
                entries=tuple(ShapeEntry(**entry) for entry in content["shapes"]),
                failures=tuple(FailedShape(**failure) for failure in content["failures"]),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ShapeFileError(f"{path}: expected the index of a prepared set, found: {error!r}") from error


def generate(config: GenerateConfig, directory: Path, workers: int = 1) -> DataIndex:
    """Makes the shapes that `directory` lacks and writes its index. A shape that fails is listed there, and the others go on."""
    (directory / "shapes").mkdir(parents=True, exist_ok=True)
    made: dict[int, ShapeEntry | FailedShape] = {}
    with Progress() as progress, _one_thread_per_process():
        task = progress.add_task("shapes", total=config.shapes)
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=context, initializer=os.nice, initargs=(5,)) as pool:
            futures = {pool.submit(_make_or_keep, config, directory, number): number for number in range(config.shapes)}
            try:
                for future in as_completed(futures):
                    made[futures[future]] = future.result()
                    progress.advance(task)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    results = [made[number] for number in range(config.shapes)]
    index = DataIndex(
        directory=directory,
        arguments=asdict(config),
        entries=tuple(r for r in results if isinstance(r, ShapeEntry)),
        failures=tuple(r for r in results if isinstance(r, FailedShape)),
    )
    index.write()
    return index


def prepare_part(config: GenerateConfig, family: str, seed: int) -> PreparedShape:
    """One part with its points and views; the same arguments give the same arrays."""
    part = make_part(family, seed)
    pool_rng, view_rng = (np.random.default_rng([seed, stream]) for stream in (1, 2))
    pool = draw_pool(
        part.vertices,
        part.faces,
        PoolConfig(near_points=config.near_points, uniform_points=config.uniform_points),
        pool_rng,
    )
    surface_points, _ = sample_surface(part.vertices, part.faces, FIT_POINTS, view_rng)
    views = render_views(part.vertices, part.faces, surface_points, config.views, config.image_size, view_rng)
    return PreparedShape(
        vertices=part.vertices,
        faces=part.faces,
        points=pool.points,
        distance=pool.distance,
        near_count=pool.near_count,
        **view_arrays([view.image for view in views], [view.camera for view in views]),
        origin={
            "family": part.family,
            "kind": part.kind,
            "seed": part.seed,
            "parameters": _json_values(part.parameters),
            "image_size": config.image_size,
        },
    )


def shape_seed(seed: int, number: int) -> int:
    """The seed of shape `number` in a set made from `seed`."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def _make_or_keep(config: GenerateConfig, directory: Path, number: int) -> ShapeEntry | FailedShape:
    """Runs in a worker: the shape's entry, made now unless a complete file is there already."""
    family = config.families[number % len(config.families)]
    seed = shape_seed(config.seed, number)
    file = f"shapes/{family}-{seed}.npz"
    try:
        shape = _existing(directory / file, config)
        if shape is None:
            shape = prepare_part(config, family, seed)
            shape.write(directory / file)
    except Exception as error:  # noqa: BLE001 - one bad draw must not end a set of thousands; the index tells
        return FailedShape(family=family, seed=seed, reason=f"{type(error).__name__}: {error}")
    return ShapeEntry(
        file=file,
        family=family,
        kind=shape.origin["kind"],
        seed=seed,
        split=split_of(family),
        parameters=shape.origin["parameters"],
        sha256=hashlib.sha256((directory / file).read_bytes()).hexdigest(),
    )


def _existing(path: Path, config: GenerateConfig) -> PreparedShape | None:
    """The shape that an earlier run left, if it is whole and was made with the same sizes."""
    try:
        shape = PreparedShape.read(path)
    except ShapeFileError:
        return None
    found = (shape.view_count, shape.near_count, len(shape.points), shape.origin.get("image_size"))
    wanted = (config.views, config.near_points, config.near_points + config.uniform_points, config.image_size)
    return shape if found == wanted else None


def _json_values(parameters: Any) -> Any:
    """The same values as plain JSON ones: numpy numbers and arrays become Python's."""
    return json.loads(json.dumps(parameters, default=lambda value: value.tolist()))


@contextmanager
def _one_thread_per_process() -> Iterator[None]:
    """Workers share the cores among themselves, so each library in them gets one thread; it is read from the environment."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "IGL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
