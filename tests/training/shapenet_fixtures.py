"""Writers of ShapeNet's public layouts, from solids that are known exactly.

They follow the formats' own formulas (K [R | t] of the renderings, axes, normalisation) and none of the readers' code, so that
a reader and its fixture can only agree where both are right. Coordinates are ShapeNet v1's: y up.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore import EmbreeDevice
from embreex.rtcore_scene import EmbreeScene
from manifold3d import Manifold
from PIL import Image

Solid = tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]

CHAIR, TABLE = "03001627", "04379243"
SIZE = 137
SAMPLES = 4  # along a pixel's side


def armchair() -> Solid:
    """A seat with a back, one arm and a foot under one corner, y up: every swap or mirroring of axes changes its outline.

    Its bounding box has a diagonal of 1 and is centred, as in ShapeNetCore v1.
    """
    seat = Manifold.cube([0.50, 0.08, 0.42])
    back = Manifold.cube([0.50, 0.46, 0.07])
    arm = Manifold.cube([0.07, 0.24, 0.42])
    foot = Manifold.cube([0.12, 0.30, 0.12]).translate([0.38, -0.30, 0.30])
    return _with_diagonal_1(seat + back + arm + foot)


def thin_frame() -> Solid:
    """A frame of rods that are about a pixel wide in the renderings, in a box with a diagonal of 1."""
    rods = Manifold()
    for x, y, z in ((0.0, 0.0, 0.0), (0.99, 0.59, 0.0), (0.0, 0.0, 0.5), (0.99, 0.59, 0.5), (0.5, 0.3, 0.25)):
        rods += Manifold.cube([1, 0.01, 0.01]).translate([0, y, z]) + Manifold.cube([0.01, 0.6, 0.01]).translate([x, 0, z])
    return _with_diagonal_1(rods)


def write_r2n2(
    root: Path,
    model_id: str,
    vertices_v1: npt.NDArray[np.floating],
    faces: npt.NDArray[np.integer],
    views: int = 24,
    seed: int = 0,
    rows: npt.NDArray[np.float64] | None = None,
) -> npt.NDArray[np.float64]:
    """`<root>/<synset>/<id>/rendering/` as 3D-R2N2's archive has it; model_id is "<synset>/<id>". Returns the rows of metadata.

    rows: (views, 5), the metadata; drawn as the archive's are when None. Each picture is 137 x 137 RGBA with soft alpha, black
    where alpha is 0.
    """
    folder = root / model_id / "rendering"
    folder.mkdir(parents=True)
    rows = _drawn_rows(views, seed) if rows is None else rows
    write_metadata(folder / "rendering_metadata.txt", rows)
    names = [f"{view:02d}.png" for view in range(len(rows))]
    (folder / "renderings.txt").write_text("\n".join(names) + "\n")
    cast = _Caster(vertices_v1, faces)
    for name, row in zip(names, rows, strict=True):
        Image.fromarray(cast.picture(*r2n2_matrices(row[0], row[1], row[3]))).save(folder / name)
    return rows


def _drawn_rows(views: int, seed: int) -> npt.NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    azimuth, elevation, ratio = (rng.uniform(low, high, views) for low, high in ((0, 360), (25, 30), (0.65, 0.95)))
    return np.column_stack([azimuth, elevation, np.zeros(views), ratio, np.full(views, 25.0)])


def write_metadata(path: Path, rows: npt.NDArray[np.floating]) -> None:
    """Azimuth, elevation, in-plane rotation, distance ratio, field of view: one line a picture."""
    path.write_text("".join(" ".join(f"{value:.17g}" for value in row) + "\n" for row in rows))


def r2n2_matrices(azimuth: float, elevation: float, distance_ratio: float) -> tuple[npt.NDArray[np.float64], ...]:
    """K (3, 3), R (3, 3) and t (3,) of a rendering: a v1 point X is seen at K (R X + t), x right, y down, z forward.

    Step by step as OccNet:scripts/dataset_shapenet/get_r2n2_cameras.py has it, the turn of Blender's import included.
    """
    focal, centre = 35.0 * SIZE / 32.0, SIZE / 2
    k = np.array([[focal, 0, centre], [0, focal, centre], [0, 0, 1]])
    sa, ca = np.sin(np.radians(-azimuth)), np.cos(np.radians(-azimuth))
    se, ce = np.sin(np.radians(-elevation)), np.cos(np.radians(-elevation))
    world_to_object = np.array([[ca * ce, -sa, ca * se], [sa * ce, ca, sa * se], [-se, 0, ce]]).T
    object_to_camera = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]).T
    flip = np.diag([1.0, -1, -1])
    y_up_to_z_up = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    translation = -object_to_camera @ np.array([1.75 * distance_ratio, 0, 0])
    return k, flip @ object_to_camera @ world_to_object @ y_up_to_z_up, flip @ translation


def write_shapenet_v1(root: Path, model_id: str, vertices_v1: npt.NDArray[np.floating], faces: npt.NDArray[np.integer]) -> Path:
    """`<root>/<synset>/<id>/model.obj` with the material library and texture names that the originals carry. Returns its path."""
    path = root / model_id / "model.obj"
    _write_obj(path, vertices_v1, faces, "mtllib model.mtl\n")
    return path


def write_shapenet_v2(root: Path, model_id: str, vertices_v1: npt.NDArray[np.floating], faces: npt.NDArray[np.integer]) -> Path:
    """`<root>/<synset>/<id>/models/model_normalized.obj`: the same model in v2's axes, at v2's scale, about its mean vertex."""
    path = root / model_id / "models" / "model_normalized.obj"
    x, y, z = np.asarray(vertices_v1, np.float64).T
    turned = np.stack([z, y, -x], axis=1)
    low, high, centroid = turned.min(axis=0), turned.max(axis=0), turned.mean(axis=0)
    _write_obj(path, (turned - centroid) / np.linalg.norm(high - low), faces, "mtllib model_normalized.mtl\n")
    numbers = {"min": low.tolist(), "max": high.tolist(), "centroid": centroid.tolist(), "numVertices": len(turned)}
    path.with_suffix(".json").write_text(json.dumps(numbers))
    return path


def _write_obj(path: Path, vertices: npt.NDArray[np.floating], faces: npt.NDArray[np.integer], head: str) -> None:
    """Two groups of faces with different materials, as exporters leave them; the material library is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["# File exported by ShapeNet\n", head]
    lines += [f"v {x:.9g} {y:.9g} {z:.9g}\n" for x, y, z in vertices]
    lines += ["vt 0.25 0.75\n", "vn 0 1 0\n"]
    half = len(faces) // 2
    for name, part in (("first", faces[:half]), ("second", faces[half:])):
        lines += [f"g {name}\n", f"usemtl {name}_material\n"]
        lines += [f"f {a + 1}/1/1 {b + 1}/1/1 {c + 1}/1/1\n" for a, b, c in part]
    path.write_text("".join(lines))


class _Caster:
    """A mesh that rays are shot at, pixel by pixel."""

    def __init__(self, vertices: npt.NDArray[np.floating], faces: npt.NDArray[np.integer]) -> None:
        self._device = EmbreeDevice()
        self._scene = EmbreeScene(self._device)
        self._mesh = TriangleMesh(self._scene, np.ascontiguousarray(vertices, np.float32), np.ascontiguousarray(faces, np.int32))
        self._vertices = np.asarray(vertices, np.float64)
        corners = self._vertices[faces]
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        self._shade = 0.3 + 0.6 * np.abs(normals @ [0.3, 0.9, 0.3]) / np.maximum(np.linalg.norm(normals, axis=1), 1e-12)

    def picture(
        self, k: npt.NDArray[np.float64], rotation: npt.NDArray[np.float64], translation: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.uint8]:
        """(137, 137, 4) uint8 through K [R | t]: a pixel's colour and alpha are the mean of its samples."""
        columns, rows = self._window(k, rotation, translation)
        offsets = (np.arange(SAMPLES) + 0.5) / SAMPLES
        x, y = (start + np.add.outer(np.arange(count), offsets).ravel() for start, count in (columns, rows))
        pixels = np.stack([*np.meshgrid(x, y), np.ones((len(y), len(x)))], axis=-1).reshape(-1, 3)
        rays = pixels @ np.linalg.inv(k).T @ rotation
        eye = np.tile(-rotation.T @ translation, (len(rays), 1))
        face = self._scene.run(eye.astype(np.float32), rays.astype(np.float32))
        seen = (face >= 0).astype(np.float64)
        grey = np.where(face >= 0, self._shade[face], 0.0)
        coverage, light = (_mean_of_samples(values, columns[1], rows[1]) for values in (seen, grey))
        colour = light / np.maximum(coverage, 1e-9)
        picture = np.zeros((SIZE, SIZE, 4))
        window = picture[rows[0] : rows[0] + rows[1], columns[0] : columns[0] + columns[1]]
        window[..., :3], window[..., 3] = colour[..., None] * [1.0, 0.8, 0.6], coverage
        return np.round(picture * 255).astype(np.uint8)

    def _window(
        self, k: npt.NDArray[np.float64], rotation: npt.NDArray[np.float64], translation: npt.NDArray[np.float64]
    ) -> Sequence[tuple[int, int]]:
        """First pixel and count, across and along, of the part of the picture that the mesh can be in."""
        seen = (self._vertices @ rotation.T + translation) @ k.T
        pixels = seen[:, :2] / seen[:, 2:]
        low = np.clip(np.floor(pixels.min(axis=0)), 0, SIZE - 1).astype(int)
        high = np.clip(np.ceil(pixels.max(axis=0)), low + 1, SIZE).astype(int)
        return [(int(first), int(last - first)) for first, last in zip(low, high, strict=True)]


def _mean_of_samples(values: npt.NDArray[np.float64], columns: int, rows: int) -> npt.NDArray[np.float64]:
    return values.reshape(rows, SAMPLES, columns, SAMPLES).mean(axis=(1, 3))


def write_occnet_pictures(root: Path, model_id: str, renderings: Path, rows: npt.NDArray[np.float64], size: int = SIZE) -> Path:
    """`<root>/<synset>/<id>/img_choy2016/` from a model's `rendering` folder and its metadata's rows. Returns the folder."""
    folder = root / model_id / "img_choy2016"
    folder.mkdir(parents=True)
    cameras = {}
    for view, row in enumerate(rows):
        with Image.open(renderings / f"{view:02d}.png") as picture:
            on_white = Image.new("RGBA", picture.size, "white")
            on_white.alpha_composite(picture)
        on_white.convert("RGB").resize((size, size), Image.Resampling.BILINEAR).save(folder / f"{view:03d}.jpg", quality=92)
        k, rotation, translation = r2n2_matrices(row[0], row[1], row[3])
        cameras[f"camera_mat_{view}"] = k
        cameras[f"world_mat_{view}"] = np.column_stack([rotation, translation])
    np.savez(folder / "cameras.npz", **cameras)
    return folder


def _with_diagonal_1(solid: Manifold) -> Solid:
    mesh = solid.to_mesh()
    vertices = mesh.vert_properties[:, :3].astype(np.float64)
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    vertices = (vertices - (low + high) / 2) / np.linalg.norm(high - low)
    return vertices.astype(np.float32), mesh.tri_verts.astype(np.int32)
