"""Builds a folder of prepared shapes from any source: in parallel, resumable, one bad shape never ending the run."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from training.data.index import INDEX_NAME, DataIndex, Refusal, ShapeEntry, title_of
from training.data.shapes import PreparedShape, ShapeFileError
from training.errors import TrainingError

REPAIRS = "repairs"  # the entry of a shape's origin that tells what was done to its triangles
RECIPE = "recipe"  # and the one that tells what a file was made from and with, so that a later run knows whether to keep it


class RejectedShape(TrainingError):
    """A source's item cannot become a shape; the message says what was expected and what was found."""


@dataclass(frozen=True, kw_only=True)
class SetConfig:
    """What every shape of a set holds. Pool sizes are the same for all, since a batch is cut from many at once."""

    views: int = 8
    image_size: int = 128
    near_points: int = 24_000
    uniform_points: int = 8_000
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Item:
    """One thing of a source that should become a shape.

    name: unique in the source, and usable as a file name. source: JSON values, enough to find the thing again.
    fingerprint: changes when the thing itself does, so that a later run prepares it anew.
    """

    name: str
    family: str
    kind: str
    split: str
    source: dict[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    licence: str | None = None
    attribution: str | None = None

    @property
    def title(self) -> str:
        return title_of(self.name, self.source)


@dataclass(frozen=True)
class Listing:
    """What a source holds: items to prepare, things to leave aside and, where it can be told already, things refused."""

    items: Sequence[Item]
    ignored: Sequence[Refusal] = ()
    rejected: Sequence[Refusal] = ()


class Source(Protocol):
    """Where shapes come from. It is sent to worker processes, so it holds little."""

    def listing(self) -> Listing:
        """What there is, in an order that does not change."""
        ...

    def prepare(self, item: Item, config: SetConfig) -> PreparedShape:
        """One item with its points and views, the same for the same arguments; RejectedShape when it cannot be done."""
        ...


def build_set(
    source: Source, config: SetConfig, directory: Path, workers: int = 0, seconds_per_shape: float | None = None
) -> DataIndex:
    """Prepares what `directory` lacks and writes its index and report.

    An item that fails, or takes its worker down with it, or takes more than `seconds_per_shape`, is listed with the reason;
    the others go on. Shapes that an earlier run left are kept if they were made from the same thing with the same numbers.
    With no workers all is done in this process: slower, unprotected, and within reach of a debugger.
    """
    listing = source.listing()
    names = [item.name for item in listing.items]
    if len(set(names)) != len(names):
        raise TrainingError(f"names: expected each once, found {next(name for name in names if names.count(name) > 1)} twice")
    unusable = next((name for name in names if Path(name).name != name or name in ("", "..")), None)
    if unusable is not None:
        raise TrainingError(f"names: expected ones that a file may have, found {unusable!r}")
    (directory / "shapes").mkdir(parents=True, exist_ok=True)
    _forget_other_numbers(config, directory)
    work = _Work(source, config, directory)
    results: dict[str, ShapeEntry | Refusal] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress, _one_thread_per_process():
        task = progress.add_task("shapes", total=len(listing.items))
        limited = _Limited(work, seconds_per_shape)
        for result in _in_workers(limited, listing.items, workers) if workers else map(work, listing.items):
            results[result.name] = result
            progress.advance(task)
    ordered = [results[name] for name in names]
    failed = [(item, result) for item, result in zip(listing.items, ordered, strict=True) if isinstance(result, Refusal)]
    index = DataIndex(
        directory=directory,
        arguments=asdict(config),
        entries=tuple(r for r in ordered if isinstance(r, ShapeEntry)),
        rejected=(*listing.rejected, *(Refusal(name=item.title, reason=r.reason) for item, r in failed)),
        ignored=tuple(listing.ignored),
    )
    index.write()
    return index


def _forget_other_numbers(config: SetConfig, directory: Path) -> None:
    """Removes an index whose shapes are about to be replaced: a run that is stopped half-way must not pass for a set."""
    try:
        if DataIndex.read(directory).arguments != asdict(config):
            (directory / INDEX_NAME).unlink()
    except ShapeFileError:
        pass


@dataclass(frozen=True)
class _Work:
    """What a worker needs to know beside the item."""

    source: Source
    config: SetConfig
    directory: Path

    def __call__(self, item: Item) -> ShapeEntry | Refusal:
        """The item's entry, made now unless a complete file is there already."""
        file = f"shapes/{item.name}.npz"
        path = self.directory / file
        try:
            existing = self._existing(path, item)
            shape = existing or self._prepared(item)
        except TrainingError as error:
            return Refusal(name=item.name, reason=str(error))
        except Exception as error:  # noqa: BLE001 - one bad file must not end a set of thousands; the report tells
            return Refusal(name=item.name, reason=f"{type(error).__name__}: {error}")
        if existing is None:
            shape.write(path)  # a full disk is no fault of the item: that ends the run, which goes on where it stopped
        return ShapeEntry(
            name=item.name,
            file=file,
            family=item.family,
            kind=item.kind,
            split=item.split,
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            repairs=tuple(shape.origin.get(REPAIRS, ())),
            source=item.source,
            licence=item.licence,
            attribution=item.attribution,
        )

    def _recipe(self, item: Item) -> dict[str, Any]:
        return {**asdict(self.config), "source": type(self.source).__name__, "fingerprint": item.fingerprint}

    def _existing(self, path: Path, item: Item) -> PreparedShape | None:
        try:
            shape = PreparedShape.read(path)
        except ShapeFileError:
            return None
        return shape if shape.origin.get(RECIPE) == self._recipe(item) else None

    def _prepared(self, item: Item) -> PreparedShape:
        shape = self.source.prepare(item, self.config)
        origin = {**shape.origin, "name": item.name, "family": item.family, "kind": item.kind, RECIPE: self._recipe(item)}
        return shape.with_origin(origin)


@dataclass(frozen=True)
class _Limited:
    """The same in a worker, which is killed when an item takes too long."""

    work: _Work
    seconds: float | None

    def __call__(self, item: Item) -> ShapeEntry | Refusal:
        with _killed_after(self.seconds):
            return self.work(item)


def _in_workers(work: _Limited, items: Sequence[Item], workers: int) -> Iterator[ShapeEntry | Refusal]:
    """Every item's result, in any order. A worker that dies takes its own item along and no other.

    A dead worker breaks its whole pool, which only tells that one of the items in flight was the cause. So those go once more,
    one at a time.
    """
    waiting = deque(items)
    while waiting:
        suspects = deque((yield from _until_broken(work, waiting, workers)))
        while suspects:
            for item in (yield from _until_broken(work, suspects, 1)):
                limit = "" if work.seconds is None else f" or took more than {work.seconds:g} s"
                yield Refusal(name=item.name, reason=f"expected a readable shape, but reading it crashed{limit}")


def _until_broken(work: _Limited, waiting: deque[Item], workers: int) -> Generator[ShapeEntry | Refusal, None, Sequence[Item]]:
    """Takes items off `waiting` and yields their results; when a worker dies, returns the items that were in flight."""
    flying: dict[Future[ShapeEntry | Refusal], Item] = {}
    with _pool(workers) as pool:
        while waiting or flying:
            try:
                while waiting and len(flying) < workers:
                    flying[pool.submit(work, waiting[0])] = waiting[0]
                    waiting.popleft()
                done, _ = wait(flying, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
                    del flying[future]
            except BrokenProcessPool:
                return list(flying.values())
    return ()


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    """Long work leaves the machine to others, where the system knows how, and ends with the process that asked for it."""
    if hasattr(os, "nice"):
        os.nice(5)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A pool whose owner was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _killed_after(seconds: float | None) -> Iterator[None]:
    """Ends this process by SIGALRM when the block takes too long: no exception would leave a library's endless loop."""
    if seconds is None or not hasattr(signal, "setitimer"):
        yield
        return
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


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
