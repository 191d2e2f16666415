"""The bundles that are served side by side: loaded at the start, read anew on demand without a gap."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from app.errors import FieldError, InvalidFields, NotReady
from model.errors import BundleError, MonotwinError
from model.reconstructor import Reconstructor
from model.runtime.bundle import MANIFEST, ModelBundle, read_bundle

CARD = "README.md"
UNFINISHED = (".partial", ".retired")  # folders that `write_bundle` has beside a bundle for a moment
RETRY_AFTER_SECONDS = 1

log = structlog.stdlib.get_logger("monotwin.library")


@dataclass(frozen=True)
class Change:
    """What a reload did to one name; no old digest: added, no new one: removed."""

    name: str
    old_sha256: str | None
    new_sha256: str | None


@dataclass(frozen=True)
class _Served:
    """A bundle in use, and its model card as it was when the bundle was read."""

    reconstructor: Reconstructor
    card: str | None


class Library:
    """The default bundle and those beside it, each under the name in its manifest.

    default: folder of the bundle that is used where no name is given; others: folder whose sub-folders with a manifest are
    bundles too (the default one may be among them). open_bundle: loads one, to be warmed up here; read: its identity and a check
    of its files. describe: told all that are served, the default first, whenever that has changed. observe_reload: told
    "succeeded" or "failed". All methods may be called from any thread; `load` and `reload` block while they read and warm up.
    """

    def __init__(
        self,
        default: Path,
        others: Path | None = None,
        *,
        open_bundle: Callable[[Path], Reconstructor],
        read: Callable[[Path], ModelBundle] = read_bundle,
        describe: Callable[[list[Reconstructor]], None] = lambda reconstructors: None,
        observe_reload: Callable[[str], None] = lambda outcome: None,
    ) -> None:
        self._default = default
        self._others = others
        self._open = open_bundle
        self._read = read
        self._describe = describe
        self._observe_reload = observe_reload
        self._changing = threading.Lock()
        self._served: Mapping[str, _Served] = {}  # the default first; replaced as a whole, never changed
        self._failure: str | None = None

    @property
    def default(self) -> Reconstructor | None:
        """What is used where no name is given, once all bundles are loaded and warm."""
        return next(iter(self.bundles()), None)

    @property
    def failure(self) -> str | None:
        """Why loading failed, in words for whoever can reach /health/ready."""
        return self._failure

    def bundles(self) -> list[Reconstructor]:
        """All that are served, the default first; none before all of them are loaded."""
        return [served.reconstructor for served in self._served.values()]

    def select(self, name: str | None = None) -> Reconstructor:
        """The bundle of this name, or the default; who has it keeps it over a reload.

        Raises InvalidFields for a name that is not served, NotReady while nothing is.
        """
        served = self._served
        if not served:
            if self._failure is not None:
                raise NotReady("state: expected ready, found failed; /health/ready says why", "failed")
            raise NotReady("state: expected ready, found starting", "starting", RETRY_AFTER_SECONDS)
        if name is None:
            name = next(iter(served))
        if name not in served:
            raise InvalidFields(FieldError("bundle", f"expected one of {', '.join(served)}, found {name!r}"))
        return served[name].reconstructor

    def card(self, name: str) -> str | None:
        """The model card of a bundle that is served, Markdown; None where it has none."""
        served = self._served.get(name)
        return None if served is None else served.card

    def load(self) -> None:
        """Open and warm up all bundles. Raises nothing: a failure is logged and kept in words."""
        with self._changing:
            try:
                self._replace()
            except Exception as error:
                log.exception("loading failed")
                # A message of ours is meant to be read; any other may tell too much to whoever can reach /health/ready.
                self._failure = str(error) if isinstance(error, MonotwinError) else "an unexpected error; the log has it"

    def reload(self) -> list[Change]:
        """Read all folders anew; a bundle whose digest is the same stays as it is. Returns what changed, by name.

        All or nothing: whatever it raises, BundleError first of all, what was served before is served on.
        """
        with self._changing:
            try:
                changes = self._replace()
            except Exception:
                self._observe_reload("failed")
                raise
            self._observe_reload("succeeded")
        log.info("reloaded", changes=[vars(change) for change in changes])
        return changes

    def _replace(self) -> list[Change]:
        """For those who hold the lock."""
        old = self._served
        loaded = {served.reconstructor.bundle.sha256: served.reconstructor for served in old.values()}
        new: dict[str, _Served] = {}
        folders: dict[str, Path] = {}
        for directory in self._folders():
            served = _Served(self._take(directory, loaded), _card(directory))
            name = served.reconstructor.bundle.name
            if name in new:
                raise BundleError(f"{directory}: expected a name of its own, found {name!r}, as in {folders[name]}")
            new[name], folders[name] = served, directory
        self._served = new
        self._failure = None
        self._describe([served.reconstructor for served in new.values()])
        before, after = ({name: s.reconstructor.bundle.sha256 for name, s in state.items()} for state in (old, new))
        names = sorted({*before, *after})
        return [Change(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)]

    def _folders(self) -> list[Path]:
        """The default bundle's folder, then the others' in the order of their names."""
        if self._others is None:
            return [self._default]
        if not self._others.is_dir():
            raise BundleError(f"{self._others}: expected a folder of bundles, found none")
        default = self._default.resolve()
        found = sorted(path for path in self._others.iterdir() if (path / MANIFEST).is_file() and path.suffix not in UNFINISHED)
        return [self._default, *(path for path in found if path.resolve() != default)]

    def _take(self, directory: Path, loaded: Mapping[str, Reconstructor]) -> Reconstructor:
        """The one that is loaded already, or a new one, warm."""
        kept = loaded.get(self._read(directory).sha256) if loaded else None
        if kept is not None:
            return kept
        reconstructor = self._open(directory)
        reconstructor.warm_up()
        return reconstructor


def _card(directory: Path) -> str | None:
    path = directory / CARD
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None
