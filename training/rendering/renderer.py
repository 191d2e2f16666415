"""Pictures of a mesh by ray casting (Embree) and numpy shading: light from all around, shadows, mirrored surroundings.

Legend: K surface points, R shadow rays a point, S samples a pixel. Arrays of points are object frame, float32.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore import EmbreeDevice
from embreex.rtcore_scene import EmbreeScene

from training.rendering.cameras import CropCamera
from training.rendering.environment import Environment
from training.rendering.ground import Ground, cast_ground
from training.rendering.materials import Finish, Material
from training.rendering.normals import corner_normals, face_normals

Float32Array = npt.NDArray[np.float32]

# First look: four rays a pixel, on a rotated grid. Pixels that they find uneven get four more.
FIRST_OFFSETS = np.array([[0.375, 0.125], [0.875, 0.375], [0.125, 0.625], [0.625, 0.875]], np.float32)
MORE_OFFSETS = np.array([[0.125, 0.25], [0.625, 0.1], [0.35, 0.9], [0.9, 0.7]], np.float32)
SMOOTH_SHADOW_RAYS = 20
EDGE_SHADOW_RAYS = 6
MIRROR_RAYS = 4
LIFT = np.float32(1e-3)  # of the object's diameter
GOLDEN_RATIO = np.float32(0.618034)
STREAKS = 110  # of brushing along the object's diameter; finer ones alias in small pictures
CRYSTALS = 26  # of a zinc coat along the object's diameter


@dataclass(frozen=True)
class _Points:
    """Where rays met the mesh: K points."""

    position: Float32Array  # (K, 3)
    ray: Float32Array  # (K, 3), unit, from the eye
    normal: Float32Array  # (K, 3), unit, smooth, towards the eye
    face_normal: Float32Array  # (K, 3), unit, towards the eye
    group: npt.NDArray[np.uint8]  # (K,), number of the material

    @property
    def lifted(self) -> Float32Array:
        """(K, 3): where further rays start, a little off the surface so that they do not hit it again."""
        return self.position + self.face_normal * LIFT

    def __getitem__(self, index: npt.NDArray[np.generic]) -> "_Points":
        return _Points(self.position[index], self.ray[index], self.normal[index], self.face_normal[index], self.group[index])


class Renderer:
    """One mesh, ready to be seen: vertices (n, 3) float32, faces (m, 3) int32."""

    def __init__(self, vertices: Float32Array, faces: npt.NDArray[np.int32]) -> None:
        self._device = EmbreeDevice()
        self._scene = EmbreeScene(self._device)
        self._mesh = TriangleMesh(self._scene, np.ascontiguousarray(vertices, np.float32), np.ascontiguousarray(faces, np.int32))
        self._vertices = vertices
        self._corner_normals = corner_normals(vertices, faces)
        self._face_normals = face_normals(vertices, faces).astype(np.float32)

    def ground(self, environment: Environment, albedo: float) -> Ground:
        """The plane under the mesh, a diffuse grey of `albedo`; it serves every camera that takes pictures in `environment`."""
        return cast_ground(self._scene, self._vertices, environment, albedo)

    def render(
        self,
        camera: CropCamera,
        finish: Finish | Material,
        environment: Environment,
        size: int,
        rng: np.random.Generator,
        ground: Ground | None = None,
    ) -> npt.NDArray[np.uint8]:
        """The camera's crop, (size, size, 4) uint8 sRGB with straight alpha, row 0 at the top.

        A ground is not in the picture, but shades the part; then `environment` is the ground's.
        """
        if isinstance(finish, Material):
            finish = Finish((finish,), np.zeros(len(self._face_normals), np.uint8))
        rows, columns = np.divmod(np.arange(size * size), size)
        corners = np.stack([columns, rows], axis=1).astype(np.float32)
        first, seen = self._cast(camera, corners, FIRST_OFFSETS, size, finish)
        colour, coverage = np.zeros((size * size, 3), np.float32), np.zeros(size * size, np.float32)

        even = _even_pixels(first, seen)
        if even.any():
            point = (np.cumsum(seen).reshape(seen.shape) - 1)[even, 0]  # the pixel's first sample speaks for it
            points = first[point]
            gathered = self._gather(points, finish, environment, ground, SMOOTH_SHADOW_RAYS, rng)
            gathered = _without_grain(gathered, points, even.reshape(size, size))
            colour[even] = _shade(points, gathered, finish, environment)
            coverage[even] = 1.0

        uneven = np.flatnonzero(seen.any(axis=1) & ~even)
        if len(uneven):
            more, more_seen = self._cast(camera, corners[uneven], MORE_OFFSETS, size, finish)
            pixel = np.concatenate([np.repeat(np.arange(len(uneven)), seen[uneven].sum(1)), np.nonzero(more_seen)[0]])
            points = _joined(first[_rows_of(seen, uneven)], more)
            gathered = self._gather(points, finish, environment, ground, EDGE_SHADOW_RAYS, rng)
            shaded = _shade(points, gathered, finish, environment)
            hits = np.bincount(pixel, minlength=len(uneven)).astype(np.float32)
            # Averaging what a display can show, not raw light, keeps edges before lamps smooth.
            shaded = np.minimum(shaded * np.float32(environment.exposure), 4.0) / np.float32(environment.exposure)
            total = np.stack([np.bincount(pixel, shaded[:, k], len(uneven)) for k in range(3)], axis=1)
            colour[uneven] = total / np.maximum(hits, 1)[:, None]
            coverage[uneven] = hits / (len(FIRST_OFFSETS) + len(MORE_OFFSETS))

        exposure = environment.exposure * rng.uniform(0.5, 0.95)
        picture = np.concatenate([_display(colour * np.float32(exposure)), coverage[:, None]], axis=1)
        return (picture * 255 + 0.5).astype(np.uint8).reshape(size, size, 4)

    def _cast(
        self, camera: CropCamera, corners: Float32Array, offsets: Float32Array, size: int, finish: Finish
    ) -> tuple[_Points, npt.NDArray[np.bool_]]:
        """Rays through pixels at `corners` (n, 2), S a pixel -> the points met, and which of the (n, S) rays met them."""
        rays = camera.directions((corners[:, None] + offsets).reshape(-1, 2), size)
        origins = np.tile(camera.eye.astype(np.float32), (len(rays), 1))
        met = self._scene.run(origins, rays, output=True)
        hit = met["primID"] >= 0
        face, rays = met["primID"][hit], rays[hit]
        second, third = met["u"][hit, None], met["v"][hit, None]
        normals = self._corner_normals[face]
        normal = normals[:, 0] * (1 - second - third) + normals[:, 1] * second + normals[:, 2] * third
        face_normal = self._face_normals[face]
        face_normal = face_normal * -np.sign(_dot(face_normal, rays))[:, None]
        normal = _unit(normal) * np.where(_dot(normal, face_normal) < 0, np.float32(-1), np.float32(1))[:, None]
        position = origins[hit] + rays * met["tfar"][hit, None]
        return _Points(position, rays, normal, face_normal, finish.face_groups[face]), hit.reshape(len(corners), len(offsets))

    def _gather(
        self,
        points: _Points,
        finish: Finish,
        environment: Environment,
        ground: Ground | None,
        count: int,
        rng: np.random.Generator,
    ) -> Float32Array:
        """What the part and its shadow on the ground do to the light at each point, (K, 7) in [0, 1] or radiance:

        share of the hemisphere that is open; the same weighted by the light from there; how bright the mirrored ground is, next
        to one in the open; share of the mirrored surroundings that the part itself hides; and, three columns, the light that
        comes from those hidden directions instead.
        """
        rank = (np.arange(count, dtype=np.float32) + np.float32(0.5)) / np.float32(count)
        radius, height = np.sqrt(rank), np.sqrt(1 - rank)  # cosine-weighted: a spiral over the disc, lifted to the hemisphere
        turn = rng.random(len(points.normal), dtype=np.float32)[:, None] + np.arange(count, dtype=np.float32) * GOLDEN_RATIO
        angle = np.float32(2 * np.pi) * turn
        tangent, bitangent = _tangents(points.normal)
        rays = (
            (radius * np.cos(angle))[..., None] * tangent[:, None]
            + (radius * np.sin(angle))[..., None] * bitangent[:, None]
            + height[:, None] * points.normal[:, None]
        )  # (K, R, 3)
        origins = np.repeat(points.lifted, count, axis=0)
        free = self._scene.run(origins, rays.reshape(-1, 3), query="OCCLUDED").reshape(-1, count) < 0
        weight = environment.soft_weight(rays)
        reached = free * weight
        if ground is not None:
            # One look at the ground before the point stands for all rays that fall on it.
            height = points.position[:, 2:] - np.float32(ground.height)
            before = ground.light_at(points.position[:, :2] + points.normal[:, :2] * height)
            reached *= np.where(rays[..., 2] < 0, before[:, None], np.float32(1))
        lit = reached.sum(axis=1) / weight.sum(axis=1)

        roughness = np.array([material.roughness for material in finish.materials], np.float32)[points.group]
        spread = rng.standard_normal((len(points.normal), MIRROR_RAYS, 3), np.float32) * (0.3 * roughness**2)[:, None, None]
        mirrored = (_mirrored(points, points.normal)[:, None] + spread).reshape(-1, 3)
        origins = np.repeat(points.lifted, MIRROR_RAYS, axis=0)
        face = self._scene.run(origins, mirrored)
        seen = np.ones(len(face), np.float32) if ground is None else ground.light_along(origins, mirrored)
        hidden = (face >= 0)[:, None]
        met = face[face >= 0]
        wall = np.zeros((len(face), 3), np.float32)
        wall[face >= 0] = environment.diffuse(self._face_normals[met])
        colours = np.array([material.colour for material in finish.materials], np.float32)
        wall[face >= 0] *= np.float32(0.7) * colours[finish.face_groups[met]]
        own = np.concatenate([seen[:, None], hidden, wall], axis=1).reshape(-1, MIRROR_RAYS, 5).mean(axis=1)
        return np.concatenate([free.mean(axis=1, keepdims=True), lit[:, None], own], axis=1, dtype=np.float32)


def _shade(points: _Points, gathered: Float32Array, finish: Finish, environment: Environment) -> Float32Array:
    """Radiance towards the eye, (K, 3); gathered: (K, 7) as `Renderer._gather` gives it."""
    radiance = np.empty_like(points.position)
    for number, material in enumerate(finish.materials):
        own = np.flatnonzero(points.group == number)
        radiance[own] = _shade_material(points[own], gathered[own], material, environment)
    return radiance


def _shade_material(points: _Points, gathered: Float32Array, material: Material, environment: Environment) -> Float32Array:
    """`_shade` for points of one material."""
    normal = _brushed(points, material)
    colour = _mottled(points.position, material)
    open_sky, lit, mirrored_ground, hidden = (gathered[:, k : k + 1] for k in range(4))
    own_light = gathered[:, 4:]

    dielectric = np.float32(1 - material.metallic)
    # What a hollow does not get from the sky it partly gets from its own walls, the more the lighter they are.
    lit = lit / (1 - np.float32(0.8) * colour * (1 - lit))
    diffuse = environment.diffuse(normal) * lit * colour * dielectric

    surroundings = environment.reflected(_unit(_mirrored(points, normal)), material.roughness)
    # A rough surface mirrors a cone: the single ray tells less of it, the open share of the sky more.
    closed = hidden * np.float32(1 - material.roughness) + (1 - open_sky) * np.float32(material.roughness)
    own_light = own_light * (np.float32(0.25) + np.float32(0.75) * open_sky)
    specular_colour = np.float32(0.04) * dielectric + colour * np.float32(material.metallic)
    facing = np.clip(-_dot(points.ray, normal), 0.0, 1.0)
    gloss = _environment_reflectance(specular_colour, facing, material.roughness)
    return diffuse + gloss * (surroundings * mirrored_ground * (1 - closed) + own_light)


def _mirrored(points: _Points, normal: Float32Array) -> Float32Array:
    """Directions (K, 3) in which the eye looks after a reflection, kept outside the surface."""
    mirrored = points.ray - 2 * _dot(points.ray, normal)[:, None] * normal
    return mirrored - 2 * np.minimum(_dot(mirrored, points.face_normal), 0)[:, None] * points.face_normal


def _even_pixels(points: _Points, seen: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Pixels (n,) whose four rays met one smooth piece of surface, so that one sample is enough."""
    even = seen.all(axis=1)
    index = _rows_of(seen, np.flatnonzero(even)).reshape(-1, seen.shape[1])
    normal, position = points.normal[index], points.position[index]
    turned = np.einsum("nsk,nk->ns", normal, normal[:, 0]).min(axis=1, initial=1.0)
    stepped = np.abs(np.einsum("nsk,nk->ns", position - position[:, :1], points.face_normal[index[:, 0]])).max(
        axis=1, initial=0.0
    )
    group = points.group[index]
    even[even] = (turned > 0.96) & (stepped < 0.006) & (group == group[:, :1]).all(axis=1)
    return even


def _without_grain(values: Float32Array, points: _Points, pixels: npt.NDArray[np.bool_]) -> Float32Array:
    """Averages (K, C) values over 3 x 3 neighbours on the same piece of surface; the K points lie at True of `pixels` (S, S)."""
    size = len(pixels)
    number = np.full((size + 2, size + 2), -1, np.int64)
    number[1:-1, 1:-1][pixels] = np.arange(len(values))
    total, count = values.copy(), np.ones((len(values), 1), np.float32)
    for row, column in np.ndindex(3, 3):
        if row == column == 1:
            continue
        neighbour = number[row : row + size, column : column + size][pixels]
        step = np.abs(_dot(points.position[neighbour] - points.position, points.face_normal))
        same = (neighbour >= 0) & (_dot(points.normal[neighbour], points.normal) > 0.9) & (step < 0.01)
        total += np.where(same[:, None], values[neighbour], 0)
        count += same[:, None]
    return total / count


def _rows_of(seen: npt.NDArray[np.bool_], pixels: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Numbers of the points that belong to some pixels, when points are listed pixel by pixel for each True of `seen` (n, S)."""
    number = np.cumsum(seen).reshape(seen.shape) - 1
    return number[pixels][seen[pixels]]


def _joined(one: _Points, other: _Points) -> _Points:
    return _Points(
        np.concatenate([one.position, other.position]),
        np.concatenate([one.ray, other.ray]),
        np.concatenate([one.normal, other.normal]),
        np.concatenate([one.face_normal, other.face_normal]),
        np.concatenate([one.group, other.group]),
    )


def _brushed(points: _Points, material: Material) -> Float32Array:
    """Shading normals (K, 3), tilted to and fro along the material's axis when it is brushed."""
    if material.brushing == 0.0:
        return points.normal
    axis = np.array(material.axis, np.float32)
    streaks = np.random.default_rng(material.pattern_seed).uniform(-1, 1, STREAKS + 1)
    noise = np.interp(points.position @ axis, np.linspace(-0.5, 0.5, STREAKS + 1), streaks).astype(np.float32)
    return _unit(points.normal + (noise * np.float32(material.brushing))[:, None] * axis)


def _mottled(position: Float32Array, material: Material) -> Float32Array:
    """Colour at each point, (K, 3): cast skin, dust and wear as a few slow waves through space, a zinc coat as crystals."""
    colour = np.array(material.colour, np.float32)
    if material.mottling == material.spangle == 0.0:
        return np.broadcast_to(colour, position.shape)
    rng = np.random.default_rng(material.pattern_seed)
    waves = rng.normal(size=(3, 5)).astype(np.float32) * np.float32(14)
    pattern = np.sin(position @ waves + np.arange(5, dtype=np.float32)).sum(axis=1) * np.float32(material.mottling / 2)
    if material.spangle:
        pattern = pattern + np.float32(material.spangle) * _crystals(position, rng)
    return colour * np.clip(1 + pattern, 0.3, 1.7)[:, None]


def _crystals(position: Float32Array, rng: np.random.Generator) -> Float32Array:
    """One random number in [-1, 1] for each cell of a crooked lattice, (K,)."""
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    place = position @ turn.astype(np.float32) * np.float32(CRYSTALS)
    cell = np.floor(place + np.sin(place[:, [1, 2, 0]] * np.float32(2.1)) * np.float32(0.6)).astype(np.int64)
    shades = rng.uniform(-1, 1, 1024).astype(np.float32)
    values: Float32Array = shades[(cell @ np.array([73856093, 19349663, 83492791])) % len(shades)]
    return values


def _environment_reflectance(colour: Float32Array, facing: Float32Array, roughness: float) -> Float32Array:
    """Share of the mirrored light that a microfacet surface sends on, (K, 3): Karis' fit of the split-sum integral."""
    x, y = 1 - roughness, 1.0425 - 0.0275 * roughness - 1.0
    fresnel = np.minimum(x * x, np.exp2(-9.28 * facing)) * x + y
    scale = -1.04 * fresnel + (1.04 - 0.572 * roughness)
    bias = 1.04 * fresnel + (0.022 * roughness - 0.04)
    return (colour * scale[:, None] + bias[:, None]).astype(np.float32)


def _display(light: Float32Array) -> Float32Array:
    """Linear light -> sRGB in [0, 1], highlights rolled off as cameras do (Narkowicz' filmic curve)."""
    light = light * (2.51 * light + 0.03) / (light * (2.43 * light + 0.59) + 0.14)
    light = np.clip(light, 0.0, 1.0)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-8) ** (1 / 2.4) - 0.055)


def _tangents(normal: Float32Array) -> tuple[Float32Array, Float32Array]:
    """Two unit vectors across each normal, (K, 3) each (Duff et al. 2017)."""
    sign = np.where(normal[:, 2] >= 0, np.float32(1), np.float32(-1))
    a = -1 / (sign + normal[:, 2])
    b = normal[:, 0] * normal[:, 1] * a
    tangent = np.stack([1 + sign * normal[:, 0] ** 2 * a, sign * b, -sign * normal[:, 0]], axis=1)
    bitangent = np.stack([b, sign + normal[:, 1] ** 2 * a, -normal[:, 1]], axis=1)
    return tangent, bitangent


def _dot(one: Float32Array, other: Float32Array) -> Float32Array:
    return np.einsum("ij,ij->i", one, other)


def _unit(vectors: Float32Array) -> Float32Array:
    return vectors / np.maximum(np.sqrt(_dot(vectors, vectors)), np.float32(1e-9))[:, None]
