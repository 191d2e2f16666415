"""What every file says about where it comes from and what its numbers mean."""

from importlib.metadata import version

from model.mesh import Mesh

GENERATOR = f"monotwin {version('monotwin')}"


def origin_lines(mesh: Mesh) -> list[str]:
    """Generator, units and scale source, one ASCII line each, for formats that have comments."""
    entries = [GENERATOR] + [f"{key}: {mesh.metadata.get(key, 'unknown')}" for key in ("units", "scale_source")]
    return [" ".join(entry.encode("ascii", "replace").decode("ascii").split()) for entry in entries]
