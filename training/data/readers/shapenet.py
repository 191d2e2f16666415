"""ShapeNet: its meshes as labels, and the source that joins one data set's pictures with another's labels.

Three frames: the label frame of a data set, in ShapeNet v1's axes (y up); v1 coordinates, in which pictures know their cameras;
and the object frame of prepared shapes (z up).
"""

from __future__ import annotations

import hashlib
import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from training.data.index import Refusal
from training.data.preparation import FIT_POINTS, POINTS_STREAM, VIEWS_STREAM, Stored, assemble, pool_config
from training.data.readers.cad import UnreadableCad, read_cad
from training.data.readers.labels import LabelledModel, LabelSource, ModelId, Placement
from training.data.readers.placement import MovedSolid, Similarity, fit_placement
from training.data.readers.r2n2 import Picture, PictureSource, crop_picture, models_below, stamp
from training.data.readers.splits import SplitLists
from training.data.sets import REPAIRS, Item, Listing, RejectedShape, SetConfig
from training.data.shapes import PreparedShape
from training.data.silhouettes import LEAST, check_silhouettes
from training.errors import TrainingError, UnreadableModel
from training.rendering.cameras import MAX_DEPTH_RATIO, ViewCamera, frame_silhouette, pose_of, view_camera
from training.rendering.views import View
from training.sampling.orientation import UnusableMesh, orient, stored_surface
from training.sampling.pools import BALL_RADIUS, Pool, dequantise, draw_pool, quantise
from training.sampling.solids import Solid, WindingMesh, object_frame
from training.sampling.surface import sample_surface

Float64Array = npt.NDArray[np.float64]

# The 13 categories of 3D-R2N2's renderings (OccNet:data/metadata.yaml).
CATEGORIES = {
    "02691156": "airplane",
    "02828884": "bench",
    "02933112": "cabinet",
    "02958343": "car",
    "03001627": "chair",
    "03211117": "display",
    "03636649": "lamp",
    "03691459": "loudspeaker",
    "04090263": "rifle",
    "04256520": "sofa",
    "04379243": "table",
    "04401088": "telephone",
    "04530566": "vessel",
}
V1_FILE, V2_FILE = "model.obj", "models/model_normalized.obj"
Y_UP_TO_Z_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
V2_TO_V1 = np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]])  # x2 = z1, y2 = y1, z2 = -x1 (IM-NET:point_sampling)
REACH = 1 / 16  # object units: how far a uniform point is moved, at most, to one with an exact label
CUT_OFF_PX = 1.0
DIAGONAL_35MM = 43.27
SMALLEST_DISTANCE = np.float32(1e-6)  # object units: keeps the sign of a point that lies on the surface
LICENCE = "LicenseRef-ShapeNet"
ATTRIBUTION = "ShapeNet (Chang et al. 2015), renderings of 3D-R2N2 (Choy et al. 2016)"
NAMED = 8  # how many models a message names


@dataclass(frozen=True)
class ShapeNetCore:
    """Meshes of ShapeNetCore: v1 has `<synset>/<id>/model.obj`, v2 `<synset>/<id>/models/model_normalized.obj`.

    Where both are, v1's is read: the renderings show it as it is. v2's has other axes, scale and place; it is turned here, and
    the pictures tell where it lies.
    """

    folder: Path

    def models(self) -> list[ModelId]:
        return sorted({*models_below(self.folder, V1_FILE), *models_below(self.folder, V2_FILE)})

    def files(self, model: ModelId) -> list[Path]:
        """Both versions of the model."""
        return [self.folder / model.synset / model.model / name for name in (V1_FILE, V2_FILE)]

    def read(self, model: ModelId) -> LabelledModel:
        """One mesh, wound outward; `UnreadableModel` when there is none, or it is damaged, or bounds no volume."""
        version_1, version_2 = self.files(model)
        if version_1.is_file():
            solid, notes = read_obj(version_1, np.eye(3))
            return LabelledModel(solid, Placement(1.0, np.zeros(3)), notes=notes)
        solid, notes = read_obj(version_2, V2_TO_V1)
        return LabelledModel(solid, notes=notes)


def read_obj(path: Path, rotation: Float64Array) -> tuple[Stored, tuple[str, ...]]:
    """The triangles of an OBJ file, turned by rotation (3, 3) and wound outward, and what was done to them.

    Materials and textures are not looked at.
    """
    try:
        mesh = read_cad(path)
        oriented = orient(mesh.vertices @ rotation.T, mesh.faces)
    except UnreadableCad as error:
        raise UnreadableModel(str(error)) from error
    except UnusableMesh as error:
        raise UnreadableModel(f"{path}: {error}") from error
    exact = WindingMesh(oriented.vertices.astype(np.float32), oriented.faces, oriented.hidden)
    return Stored(*stored_surface(exact.vertices, exact.faces), exact), (*mesh.notes, *oriented.repairs)


@dataclass(frozen=True, kw_only=True)
class ShapeNetModels:
    """The models that both have pictures and labels. Views keep the order of the data set's files: 0 is its first picture.

    splits: published lists; without them the first 80 % of each category train and the others test. Models that the lists do
    not name are ignored. categories: names or synsets, all when None.
    least_agreement: of mesh and pictures (`check_silhouettes`); labels from coarse voxels agree less.
    """

    pictures: PictureSource
    labels: LabelSource
    splits: SplitLists | None = None
    categories: tuple[str, ...] | None = None
    least_agreement: float = LEAST

    def listing(self) -> Listing:
        pictured, labelled = (self._chosen(source.models()) for source in (self.pictures, self.labels))
        both = sorted(pictured & labelled)
        splits = self.splits or SplitLists.first_share(both)
        rejected = [Refusal(name=_name(model), reason="has pictures and no labels") for model in sorted(pictured - labelled)]
        rejected += [Refusal(name=_name(model), reason="has labels and no pictures") for model in sorted(labelled - pictured)]
        ignored = [Refusal(name=_name(model), reason="not in the split lists") for model in both if model not in splits.split_of]
        ignored += [Refusal(name="split lists", reason=remark) for remark in splits.remarks]
        absent = sorted(self._chosen(splits.split_of) - pictured - labelled)
        if absent:
            names = ", ".join(map(str, absent[:NAMED])) + (", ..." if len(absent) > NAMED else "")
            ignored.append(Refusal(name="split lists", reason=f"{len(absent)} models without pictures and labels: {names}"))
        items = [self._item(model, splits.split_of[model]) for model in both if model in splits.split_of]
        return Listing(items, ignored, rejected)

    def prepare(self, item: Item, config: SetConfig) -> PreparedShape:
        """RejectedShape when there are too few pictures, or when they and the labels do not agree (`check_silhouettes`)."""
        model = ModelId(item.source["synset"], item.source["model"])
        pictures = self.pictures.views(model)
        if len(pictures) < config.views:
            raise RejectedShape(f"{model}: expected at least {config.views} pictures, found {len(pictures)}")
        labelled = self.labels.read(model)
        placement = labelled.placement or fit_placement(labelled.solid, pictures)
        v1_to_object = object_frame_of(labelled.solid, placement)
        to_object = Similarity(
            v1_to_object.rotation, v1_to_object.scale * placement.scale, v1_to_object.place(placement.location)
        )
        solid = MovedSolid(labelled.solid, to_object)
        seed = zlib.crc32(item.name.encode())
        points_rng, views_rng = (np.random.default_rng([config.seed, seed, stream]) for stream in (POINTS_STREAM, VIEWS_STREAM))
        pool = draw_pool(solid, pool_config(config), points_rng)
        if labelled.exact_points is not None and labelled.exact_occupancy is not None:
            pool = with_exact_points(pool, solid, to_object.place(labelled.exact_points), labelled.exact_occupancy)
        surface_points, _ = sample_surface(solid.vertices, solid.faces, FIT_POINTS, views_rng)
        chosen = pictures[: config.views]
        views = [picture_view(picture, v1_to_object, solid, surface_points, config.image_size) for picture in chosen]
        shape = assemble(solid, pool, views, {})
        agreement = check_silhouettes(shape, self.least_agreement)
        origin = {
            "synset": model.synset,
            "model": model.model,
            "placement": {"scale": placement.scale, "location": placement.location.tolist()},
            "silhouette_agreement": round(agreement, 4),
            REPAIRS: [*labelled.notes, *_remarks(chosen, [view.camera for view in views], solid)],
        }
        return replace(shape, origin=origin)

    def _chosen(self, models: Sequence[ModelId] | dict[ModelId, str]) -> set[ModelId]:
        """Those of the wanted categories."""
        if self.categories is None:
            return set(models)
        synsets = {name: synset for synset, name in CATEGORIES.items()} | {synset: synset for synset in CATEGORIES}
        unknown = sorted(set(self.categories) - set(synsets))
        if unknown:
            raise TrainingError(f"categories: expected some of {', '.join(CATEGORIES.values())}, found {', '.join(unknown)}")
        wanted = {synsets[category] for category in self.categories}
        return {model for model in models if model.synset in wanted}

    def _item(self, model: ModelId, split: str) -> Item:
        stamps = " ".join(map(stamp, self.labels.files(model)))
        made_from = f"{self.pictures!r} {self.labels!r} {self.pictures.fingerprint(model)} {stamps}"
        return Item(
            name=_name(model),
            family=CATEGORIES.get(model.synset, model.synset),
            kind="other",
            split=split,
            source={"synset": model.synset, "model": model.model},
            fingerprint=hashlib.sha256(made_from.encode()).hexdigest(),
            licence=LICENCE,
            attribution=ATTRIBUTION,
        )


def object_frame_of(solid: Solid, placement: Placement) -> Similarity:
    """From v1 coordinates to the object frame of a solid that is placed there: z up, box centred, farthest vertex at 0.5."""
    vertices_v1 = placement.scale * solid.vertices.astype(np.float64) + placement.location
    _, scale, centre = object_frame(vertices_v1 @ Y_UP_TO_Z_UP.T)
    return Similarity(Y_UP_TO_Z_UP, scale, -scale * centre)


def picture_view(
    picture: Picture, v1_to_object: Similarity, solid: Solid, surface_points: npt.NDArray[np.floating[Any]], size: int
) -> View:
    """A picture as a view of a solid in the object frame: its crop by the solid's own box, `size` pixels wide, and its camera.

    surface_points: (k, 3), object frame, what the orthographic frame is fitted to.
    """
    rotation = picture.camera.rotation @ v1_to_object.rotation.T
    crop = frame_silhouette(rotation, v1_to_object.place(picture.camera.eye), solid.vertices)
    diagonal_px = float(np.hypot(*picture.rgba.shape[:2]))
    return View(
        image=crop_picture(picture, crop, size),
        shadow=np.full((size, size), 255, np.uint8),
        camera=view_camera(crop, solid.vertices, surface_points),
        pose=pose_of(crop, picture.camera.focal_px * DIAGONAL_35MM / diagonal_px),
    )


def with_exact_points(
    pool: Pool, solid: Solid, exact_points: npt.NDArray[np.floating[Any]], occupancy: npt.NDArray[np.bool_]
) -> Pool:
    """The pool with uniform points moved to exactly labelled ones: (n, 3), object frame, with their occupancy (n,).

    Each uniform point takes the place of the nearest exact one within `REACH`, unless another has it. So they stay about uniform,
    however the exact ones are spread. Their sign is the given one, their distance the solid's.
    """
    usable = np.flatnonzero(np.linalg.norm(exact_points, axis=1) <= BALL_RADIUS)
    uniform = dequantise(pool.points[pool.near_count :])
    if not len(usable) or not len(uniform):
        return pool
    away, nearest = cKDTree(exact_points[usable]).query(uniform)
    near = np.flatnonzero(away <= REACH)
    taken, first = np.unique(nearest[near], return_index=True)
    moved, chosen = pool.near_count + near[first], usable[taken]
    points, distance = pool.points.copy(), pool.distance.copy()
    points[moved] = quantise(exact_points[chosen])
    magnitude = np.abs(solid.signed_distance(dequantise(points[moved]))).astype(np.float32)
    sign = np.where(occupancy[chosen], np.float32(-1), np.float32(1))
    distance[moved] = sign * np.maximum(magnitude, SMALLEST_DISTANCE)
    return Pool(points, distance, pool.near_count)


def _remarks(pictures: Sequence[Picture], cameras: Sequence[ViewCamera], solid: Solid) -> list[str]:
    """What is unusual about which views, in words."""
    views: dict[str, list[int]] = defaultdict(list)
    for view, (picture, camera) in enumerate(zip(pictures, cameras, strict=True)):
        if picture.remark:
            views[picture.remark].append(view)
        seen = camera.crop.to_camera(solid.vertices)
        if np.ptp(seen[:, 2]) * camera.pinhole_frame.scale > MAX_DEPTH_RATIO:
            views["deeper than the query volume"].append(view)
        pixels = picture.camera.principal + picture.camera.focal_px * seen[:, :2] * [1, -1] / -seen[:, 2:]
        if (pixels < -CUT_OFF_PX).any() or (pixels > np.array(picture.rgba.shape[1::-1]) + CUT_OFF_PX).any():
            views["object cut off by the picture's border"].append(view)
    return [f"{remark} in views {', '.join(map(str, numbers))}" for remark, numbers in views.items()]


def _name(model: ModelId) -> str:
    return f"{model.synset}-{model.model}"
