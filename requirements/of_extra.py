"""Prints what pyproject.toml requires for serving with one extra, a line each: python requirements/of_extra.py cpu|gpu

With it an image installs the requirements before it has the sources.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

EXTRAS = ("cpu", "gpu")


def requirements_of(extra: str, pyproject: Path) -> list[str]:
    if extra not in EXTRAS:
        raise SystemExit(f"extra: expected one of {', '.join(EXTRAS)}, got {extra!r}")
    project = tomllib.loads(pyproject.read_text())["project"]
    return [*project["dependencies"], *project["optional-dependencies"][extra]]


if __name__ == "__main__":
    sys.stdout.write("\n".join(requirements_of(sys.argv[1], Path("pyproject.toml"))) + "\n")
