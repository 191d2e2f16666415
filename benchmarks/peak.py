"""One step in this process, then its peak memory as a line of JSON: what `benchmarks.memory` starts afresh for each figure.

    python -m benchmarks.peak STEP [BUNDLE PHOTO RESOLUTION]

Imports stand inside the steps, so that each pays for its own alone.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

STATUS = Path("/proc/self/status")
CLEAR_REFS = Path("/proc/self/clear_refs")


def peak_bytes() -> int:
    """The most memory that this process had resident at once; see `benchmarks.memory` for which counter that is."""
    return resident_peak(STATUS) if STATUS.exists() else rusage_bytes(resource.RUSAGE_SELF)


def rusage_bytes(who: int) -> int:
    """`ru_maxrss` in bytes; of RUSAGE_CHILDREN, the largest child's that was waited for."""
    return resource.getrusage(who).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def resident_peak(status: Path) -> int:
    """VmHWM of a file /proc/PID/status, in bytes."""
    kilobytes = next(line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return 1024 * int(kilobytes)


def begin_anew() -> None:
    """Lets the peak count from what is resident now, on Linux; before, what was resident counts as well."""
    if CLEAR_REFS.exists():
        CLEAR_REFS.write_text("5")


def tree_peak(process_id: int) -> int:
    """The sum of the peaks of a process and its living descendants, on Linux: at most reached at once."""
    folder = Path(f"/proc/{process_id}")
    children: Iterable[str] = (child for task in folder.glob("task/*/children") for child in task.read_text().split())
    return resident_peak(folder / "status") + sum(tree_peak(int(child)) for child in children)


def bare() -> None:
    """Nothing."""


def torch_alone() -> None:
    """What training and most services of networks import."""
    import torch  # noqa: F401


def imports() -> None:
    """All that the service imports."""
    import app.main  # noqa: F401
    import model.reconstructor  # noqa: F401


def loaded(bundle: str) -> None:
    """The imports and an opened bundle."""
    imports()
    from model import Reconstructor

    Reconstructor.load(Path(bundle))


def reconstructed(bundle: str, photo: str, resolution: str) -> dict[str, int]:
    """The imports, an opened bundle, and one photo as the bytes of a GLB file; each stage's peak, on Linux."""
    imports()
    from model import Options, Reconstructor
    from model.formats import FORMATS
    from model.image import read_photo

    reconstructor = Reconstructor.load(Path(bundle))
    peaks = {"load": peak_bytes()}

    @contextmanager
    def stage(name: str) -> Iterator[None]:
        begin_anew()
        yield
        peaks[name] = peak_bytes()

    mesh = reconstructor.reconstruct(read_photo(Path(photo).read_bytes()), Options(resolution=int(resolution)), stage=stage)
    with stage("write"):
        FORMATS["glb"].write(mesh)
    return peaks if CLEAR_REFS.exists() else {}


STEPS: dict[str, Callable[..., dict[str, int] | None]] = {
    "bare": bare,
    "torch": torch_alone,
    "imports": imports,
    "loaded": loaded,
    "reconstructed": reconstructed,
}


def main(arguments: list[str]) -> None:
    stages = STEPS[arguments[0]](*arguments[1:]) or {}
    own = max(peak_bytes(), *stages.values(), 0)
    children = rusage_bytes(resource.RUSAGE_CHILDREN)
    print(json.dumps({"own": own, "largest_child": children, "torch": "torch" in sys.modules, "stages": stages}))


if __name__ == "__main__":
    main(sys.argv[1:])
