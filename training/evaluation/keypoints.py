"""KFS-like: how much two parts differ to the eye, from keypoints of their pictures. 0 is the same, 1 wholly different.

In the spirit of DR-KFS (Jin et al., ECCV 2020), whose code was never published: pictures from many sides, probabilities of
keypoints, squared differences of features there. The parts here are our choice and their figures compare to no others: 20
directions, orthographic pictures in oblique light, Harris's corner response and upright SIFT descriptors.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore import EmbreeDevice
from embreex.rtcore_scene import EmbreeScene

from model.mesh import Mesh
from training.rendering.normals import face_normals

PICTURE_SIZE = 128
KEYPOINTS = 48  # of one picture, the most probable ones
FILL = 0.85  # share of the picture that the truth's bounding sphere takes
PATCH_SIZE = 6.0  # OpenCV's keypoint size: the descriptor sees 6 times as many pixels
FAINTEST = 1e-3  # a corner response below this share of the picture's strongest is rounding
LIGHT = np.array([-0.45, 0.65, 0.62])  # oblique, so that two faces that meet symmetrically to the viewer still differ
DARKEST, BRIGHTEST = 60.0, 255.0  # of the part; the background is black

Picture = npt.NDArray[np.uint8]
Float64 = npt.NDArray[np.float64]

_GOLDEN = (1 + 5**0.5) / 2
# The corners of a dodecahedron, unit length, (20, 3): towards the viewers.
DIRECTIONS = np.array(
    [(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
    + [np.roll((0, a / _GOLDEN, b * _GOLDEN), shift) for a in (-1, 1) for b in (-1, 1) for shift in range(3)]
) / np.sqrt(3)


@dataclass(frozen=True)
class Stage:
    """The ball that the pictures show, view-frame units: that of the truth, for prediction and truth alike."""

    centre: Float64
    radius: float

    @classmethod
    def around(cls, mesh: Mesh) -> Stage:
        centre = mesh.bounds.astype(np.float64).mean(axis=0)
        return cls(centre, float(np.linalg.norm(mesh.vertices - centre, axis=1).max()))


def take_pictures(mesh: Mesh, stage: Stage) -> Picture:
    """(20, 128, 128) uint8: the mesh from all directions; what reaches out of the stage may be cut off."""
    scene = EmbreeScene(EmbreeDevice())
    # The scene holds no reference of its own to the mesh.
    triangles = TriangleMesh(
        scene,
        np.ascontiguousarray((mesh.vertices - stage.centre) / stage.radius, np.float32),
        np.ascontiguousarray(mesh.faces, np.int32),
    )
    cameras = np.stack([_camera_axes(direction) for direction in DIRECTIONS])
    pixel = (np.arange(PICTURE_SIZE) + 0.5) / PICTURE_SIZE * 2 - 1
    x, y = np.meshgrid(pixel / FILL, -pixel / FILL)
    far = 10.0
    origins = np.einsum("pk,vkc->vpc", np.stack([x.ravel(), y.ravel(), np.full(x.size, far)], axis=1), cameras)
    rays = np.repeat(-cameras[:, 2], x.size, axis=0)
    face = scene.run(origins.reshape(-1, 3).astype(np.float32), rays.astype(np.float32))
    del triangles
    lights = np.repeat(LIGHT / np.linalg.norm(LIGHT) @ cameras, x.size, axis=0)
    hit = np.flatnonzero(face >= 0)
    normals = face_normals(mesh.vertices, mesh.faces)[face[hit]]
    normals *= np.where(np.einsum("ij,ij->i", normals, rays[hit]) > 0, -1, 1)[:, None]  # open surfaces have two sides
    shade = (1 + np.einsum("ij,ij->i", normals, lights[hit])) / 2
    pictures = np.zeros(len(rays), np.uint8)
    pictures[hit] = np.rint(DARKEST + (BRIGHTEST - DARKEST) * np.clip(shade, 0, 1))
    return pictures.reshape(len(DIRECTIONS), PICTURE_SIZE, PICTURE_SIZE)


def keypoint_difference(one: Picture, other: Picture) -> float:
    """The mean over the pairs of pictures, (v, s, s) each, of `_picture_difference`."""
    return float(np.mean([_picture_difference(a, b) for a, b in zip(one, other, strict=True)]))


def _picture_difference(a: Picture, b: Picture) -> float:
    """Mean difference of the two pictures' features at the keypoints of both, weighted by their probabilities; in [0, 1].

    Half the squared difference of two unit descriptors, whose numbers are all positive. A flat patch has none; it differs by 1
    from any that has one.
    """
    (spots_a, weights_a), (spots_b, weights_b) = _keypoints(a), _keypoints(b)
    spots, weights = np.concatenate([spots_a, spots_b]), np.concatenate([weights_a, weights_b])
    if not len(spots):
        return 0.0
    features_a, features_b = _descriptors(a, spots), _descriptors(b, spots)
    only_one = features_a.any(axis=1) != features_b.any(axis=1)
    difference = np.where(only_one, 1, ((features_a - features_b) ** 2).sum(axis=1) / 2)
    return float((weights * difference).sum() / weights.sum())


def _keypoints(picture: Picture) -> tuple[Float64, Float64]:
    """(k, 2) pixels (x, y) of the likeliest corners, none within two pixels of a likelier one; (k,) probabilities, sum 1.

    The square root of Harris's response, which grows with the fourth power of contrast, takes some weight from the outline.
    """
    response = np.sqrt(np.maximum(cv2.cornerHarris(picture.astype(np.float32) / 255, 5, 3, 0.04), 0)).astype(np.float64)
    peak = (response == cv2.dilate(response, np.ones((5, 5), np.uint8))) & (response > FAINTEST * response.max())
    rows, columns = np.nonzero(peak)
    likeliest = np.argsort(-response[rows, columns], kind="stable")[:KEYPOINTS]
    rows, columns = rows[likeliest], columns[likeliest]
    weights = response[rows, columns]
    return np.stack([columns, rows], axis=1).astype(np.float64), weights / max(float(weights.sum()), 1e-30)


def _descriptors(picture: Picture, spots: Float64) -> Float64:
    """(k, 128) SIFT descriptors at (k, 2) pixels, upright, of unit length; zero where the patch is flat."""
    points = [cv2.KeyPoint(float(x), float(y), PATCH_SIZE, 0.0) for x, y in spots]
    features: Float64 = cv2.SIFT.create().compute(picture, points)[1].astype(np.float64)
    features /= np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-30)
    return features


def _camera_axes(towards: Float64) -> Float64:
    """(3, 3): right, up and towards the viewer as rows; up is as near to the y axis as can be."""
    right = np.cross((0.0, 1.0, 0.0), towards)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(towards, right), towards])
