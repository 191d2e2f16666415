"""Prints what pyproject.toml requires for serving with some extras, a line each.

    python requirements/of_extra.py cpu,postgres,otel

With it an image installs the requirements before it has the sources.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

DEVICES = ("cpu", "gpu")
OTHERS = ("postgres", "otel", "heic")


def requirements_of(extras: list[str], pyproject: Path) -> list[str]:
    unknown = [extra for extra in extras if extra not in (*DEVICES, *OTHERS)]
    if unknown or sum(extra in DEVICES for extra in extras) != 1:
        raise SystemExit(f"extras: expected {' or '.join(DEVICES)}, and any of {', '.join(OTHERS)}; got {','.join(extras)!r}")
    project = tomllib.loads(pyproject.read_text())["project"]
    return sum((project["optional-dependencies"][extra] for extra in extras), project["dependencies"])


if __name__ == "__main__":
    sys.stdout.write("\n".join(requirements_of(sys.argv[1].split(","), Path("pyproject.toml"))) + "\n")
