"""One step in this process, then its peak memory as a line of JSON: what `benchmarks.memory` starts afresh for each figure.

    python -m benchmarks.peak STEP [BUNDLE PHOTO RESOLUTION]

Imports stand inside the steps, so that each pays for its own alone.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterable
from pathlib import Path

STATUS = Path("/proc/self/status")


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


def reconstructed(bundle: str, photo: str, resolution: str) -> None:
    """The imports, an opened bundle, and one photo as the bytes of a GLB file."""
    imports()
    from model import Options, Reconstructor
    from model.formats import FORMATS
    from model.image import read_photo

    reconstructor = Reconstructor.load(Path(bundle))
    mesh = reconstructor.reconstruct(read_photo(Path(photo).read_bytes()), Options(resolution=int(resolution)))
    FORMATS["glb"].write(mesh)


STEPS = {"bare": bare, "torch": torch_alone, "imports": imports, "loaded": loaded, "reconstructed": reconstructed}


def main(arguments: list[str]) -> None:
    STEPS[arguments[0]](*arguments[1:])
    peaks = {"own": peak_bytes(), "largest_child": rusage_bytes(resource.RUSAGE_CHILDREN), "torch": "torch" in sys.modules}
    print(json.dumps(peaks))


if __name__ == "__main__":
    main(sys.argv[1:])
