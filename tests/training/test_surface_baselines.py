"""AtlasNet and Pixel2Mesh: deformed spheres, their distances, and that each can learn one shape."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from model.errors import NoSurface
from model.field import QueryGrid
from model.mesh import Mesh
from model.networks.encoder import STAGE_CHANNELS
from training.baselines import atlasnet, deformed_sphere, nearest, pixel2mesh
from training.baselines.atlasnet import AtlasNet
from training.baselines.deformed_sphere import DeformedSphere, icosphere, subdivide
from training.baselines.pixel2mesh import GraphConvolution, MeshGraph, Pixel2Mesh
from training.configs import AugmentationConfig, PointsConfig
from training.data.dataset import Batch, ShapeSet, on_white
from training.data.shapes import PreparedShape
from training.errors import TrainingError
from training.evaluation.metrics import iou
from training.normalisation import normalise

GRID, COLUMNS = QueryGrid(8), np.ones((9, 9), bool)


class Remembered(nn.Module):
    """In place of a backbone: the maps of one picture, whatever it is shown."""

    def __init__(self, maps: list[Tensor]) -> None:
        super().__init__()
        self.maps = maps

    def forward(self, images: Tensor) -> list[Tensor]:
        return [m.expand(len(images), -1, -1, -1) for m in self.maps]


def random_maps(generator: torch.Generator) -> list[Tensor]:
    return [torch.randn(1, c, side, side, generator=generator) for c, side in zip(STAGE_CHANNELS, (8, 4, 2, 1), strict=True)]


def batch_of(shapes: ShapeSet, size: int) -> Batch:
    generator = torch.Generator().manual_seed(0)
    return shapes.batch(size, PointsConfig(near=1, uniform=1, surface=64), AugmentationConfig(), 32, generator)


def tiny(kind: type[DeformedSphere]) -> DeformedSphere:
    torch.manual_seed(0)
    return AtlasNet(0.125) if kind is AtlasNet else Pixel2Mesh(0.125, convolutions=4)


def graph_of(level: int) -> tuple[Tensor, MeshGraph]:
    vertices, faces = icosphere(level)
    return torch.from_numpy(vertices).float()[None], MeshGraph(subdivide(faces)[0])


def dense(graph: MeshGraph, count: int) -> Tensor:
    """The slow twin: the adjacency matrix, between the roots of the degrees."""
    matrix = torch.zeros(count, count, dtype=torch.float64)
    for a, b in graph.edges.tolist():
        matrix[a, b] = matrix[b, a] = 1
    root = matrix.sum(1).rsqrt()
    return root[:, None] * matrix * root


@pytest.mark.parametrize("pairs", [1, 50, 2**22])
def test_the_nearest_are_those_of_a_double_loop_in_chunks_of_any_size(monkeypatch, pairs):
    monkeypatch.setattr(nearest, "PAIRS", pairs)
    a, b = torch.rand(2, 13, 3), torch.rand(2, 7, 3)
    found = nearest.nearest(a, b)
    for batch in range(2):
        for i in range(13):
            squares = [float(((a[batch, i] - b[batch, j]) ** 2).sum()) for j in range(7)]
            assert int(found.index[batch, i]) == int(np.argmin(squares))
            assert float(found.squared[batch, i]) == pytest.approx(min(squares), rel=1e-5)


def test_the_distance_to_the_nearest_pulls_on_both_points_and_on_no_other():
    points = torch.tensor([[[0.0, 0, 0], [1, 0, 0]]], requires_grad=True)
    others = torch.tensor([[[0.0, 0.5, 0], [9, 9, 9]]], requires_grad=True)
    found = nearest.nearest(points, others)
    assert found.squared.tolist() == [[0.25, 1.25]]
    found.squared.sum().backward()
    assert points.grad.tolist() == [[[0, -1, 0], [2, -1, 0]]]
    assert others.grad.tolist() == [[[-2, 2, 0], [0, 0, 0]]]


def test_distances_keep_float32_inside_autocast():
    points = torch.tensor([[[0.50001, 0.0, 0.0]]])
    with torch.autocast("cpu", torch.bfloat16):
        found = nearest.nearest(points, torch.tensor([[[0.5, 0.0, 0.0], [0.50002, 0.0, 0.0]]]))
    assert found.squared.dtype == torch.float32
    assert float(found.squared) == pytest.approx(1e-10, rel=0.02)


@pytest.mark.parametrize("level", [0, 1, 3])
def test_an_icosphere_is_a_closed_unit_sphere_wound_outward(level):
    vertices, faces = icosphere(level)
    mesh = Mesh(vertices.astype(np.float32), faces.astype(np.int32))
    assert len(vertices) == 10 * 4**level + 2
    assert len(faces) == 20 * 4**level
    assert mesh.is_watertight
    assert mesh.euler_characteristic == 2
    assert np.linalg.norm(vertices, axis=1) == pytest.approx(1, abs=1e-12)
    assert (
        np.einsum("ij,ij->i", mesh.corners.mean(axis=1), np.cross(*np.diff(mesh.corners, axis=1).transpose(1, 0, 2))) > 0
    ).all()


def test_splitting_keeps_vertices_halves_edges_exactly_and_keeps_the_surface():
    vertices, faces = icosphere(1)
    edges, finer = subdivide(faces)
    split = MeshGraph(edges).split(torch.from_numpy(vertices)[None])[0].numpy()
    assert (split[: len(vertices)] == vertices).all()
    for number, (a, b) in enumerate(edges):
        assert (split[len(vertices) + number] == (vertices[a] + vertices[b]) / 2).all()
    coarse, fine = Mesh(vertices.astype("f4"), faces.astype("i4")), Mesh(split.astype("f4"), finer.astype("i4"))
    assert fine.is_watertight
    assert fine.euler_characteristic == 2
    assert fine.volume == pytest.approx(coarse.volume, rel=1e-6)  # flat faces, split in four


def test_the_neighbours_sum_and_its_gradient_are_those_of_a_dense_matrix():
    vertices, graph = graph_of(1)
    x = torch.randn(2, vertices.shape[1], 5, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, vertices.shape[1], 5, dtype=torch.float64)
    matrix = dense(graph, vertices.shape[1])
    summed = graph.sum(x)
    assert torch.allclose(summed, matrix @ x, atol=1e-6)
    (gradient,) = torch.autograd.grad((summed * weight).sum(), x)
    assert torch.allclose(gradient, matrix.T @ weight, atol=1e-6)


def test_a_graph_convolution_is_two_linear_functions_one_of_the_neighbours():
    vertices, graph = graph_of(0)
    layer = GraphConvolution(3, 4)
    own, others = layer.weight.chunk(2)
    expected = vertices @ own.T + dense(graph, 12).float() @ vertices @ others.T
    assert torch.allclose(layer(vertices, graph), expected, atol=1e-6)


def test_an_icosahedron_s_laplacian_points_outward_alike_at_every_vertex():
    vertices, graph = graph_of(0)
    share = 1 - 1 / 5**0.5  # five neighbours, at a cosine of 1 / sqrt(5)
    assert torch.allclose(graph.laplacian(vertices), share * vertices, atol=1e-6)
    assert torch.allclose(graph.laplacian(torch.ones(1, 12, 3)), torch.zeros(1, 12, 3), atol=1e-6)


def test_moving_a_mesh_as_a_whole_costs_the_move_alone_and_the_first_time_nothing():
    vertices, graph = graph_of(1)
    moves = torch.tensor([0.3, 0.0, 0.4]).expand(vertices.shape)
    assert float(pixel2mesh.smoothness_loss(moves, graph, first=True)) == pytest.approx(0, abs=1e-6)
    expected = pixel2mesh.PAPER_LENGTH**2 * pixel2mesh.MOVE * 0.25
    assert float(pixel2mesh.smoothness_loss(moves, graph, first=False)) == pytest.approx(expected, rel=1e-5)


def test_edges_in_a_plane_are_at_right_angles_to_its_normal_and_edges_along_it_are_not():
    normal = torch.tensor([0.6, 0.0, 0.8])
    first, second = torch.tensor([0.8, 0.0, -0.6]), torch.tensor([0.0, 2.0, 0.0])
    inside = torch.stack([first, second, 3 * first - second])[None]
    assert float(pixel2mesh.normal_loss(inside, normal.expand(inside.shape))) == pytest.approx(0, abs=1e-6)
    assert float(pixel2mesh.normal_loss(-2 * normal[None, None], normal[None, None])) == pytest.approx(1)


def test_on_the_true_points_only_the_edges_count():
    vertices, graph = graph_of(1)
    ends = vertices[0, graph.edges]
    squares = (ends[:, 0] - ends[:, 1]).square().sum(-1).mean()
    cosines = ((ends[:, 0] - ends[:, 1]) * ends[:, 0]).sum(-1).abs() / (ends[:, 0] - ends[:, 1]).norm(dim=-1)
    expected = pixel2mesh.PAPER_LENGTH**2 * pixel2mesh.EDGE * squares + pixel2mesh.NORMAL * cosines.mean()
    assert float(pixel2mesh.shape_loss(vertices, graph, vertices, vertices)) == pytest.approx(float(expected), rel=1e-5)


def test_features_may_be_weighted_before_they_are_sampled_and_split():
    generator = torch.Generator().manual_seed(1)
    maps, (vertices, coarse) = random_maps(generator), graph_of(0)
    _, fine = graph_of(1)
    vertices, hidden = 0.4 * vertices, torch.randn(1, 12, 4, generator=generator)
    layer = pixel2mesh.FirstConvolution(4, 6)
    uv = torch.stack([vertices[..., 0], -vertices[..., 1]], -1)[:, None] * 2
    sampled = [nn.functional.grid_sample(m, uv, "bilinear", "border", False)[:, :, 0].transpose(1, 2) for m in maps]
    features = coarse.split(torch.cat([vertices, hidden, *sampled], -1))
    own, others = (features @ torch.cat([layer.vertex, *layer.maps], dim=1).T).chunk(2, -1)
    expected = own + dense(fine, 42).float() @ others
    assert torch.allclose(layer(maps, vertices, hidden, coarse.split, fine), expected, atol=1e-4)


@pytest.mark.parametrize(("kind", "steps", "rate", "least"), [(AtlasNet, 25, 3e-3, 0.7), (Pixel2Mesh, 30, 1e-3, 0.5)])
def test_a_deformed_sphere_learns_one_shape_from_one_view(tiny_set, monkeypatch, kind, steps, rate, least):
    """The ellipsoid that both start from has an IoU below 0.5."""
    monkeypatch.setattr(atlasnet, "POINTS", 640)
    file = tiny_set.files("train")[1]
    shapes, zero = ShapeSet([file], "pinhole", surface_points=512), torch.tensor([0])
    surface, _ = shapes.columns(zero, zero, shapes.surface[zero])
    normals = shapes.column_normals(zero, zero, surface, shapes.normals[zero])
    image = on_white(shapes.images[zero, zero], 64)
    batch = replace(batch_of(shapes, 1), images=image, surface=surface, normals=normals)
    method = tiny(kind)
    with torch.no_grad():
        method.backbone.eval()
        method.backbone = Remembered(method.backbone(normalise(image)))
    optimiser = torch.optim.Adam(method.parameters(), rate)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = rate * (1 - step / steps)
        loss, _ = method(batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    settle_norms(method, batch)
    mesh = method.eval().surface(normalise(image), GRID, COLUMNS)
    shape = PreparedShape.read(file)
    corners, _ = shapes.columns(zero, zero, torch.from_numpy(shape.vertices).float()[None])
    assert mesh.is_watertight
    assert mesh.volume > 0
    assert iou(mesh, Mesh(corners[0].numpy(), shape.faces.astype(np.int32)), np.random.default_rng(0)) > least


def settle_norms(method: nn.Module, batch: Batch) -> None:
    """Running statistics of the weights as they are now."""
    for module in method.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.reset_running_stats()
            module.momentum = None
    with torch.no_grad():
        for _ in range(3):
            method(batch)


@pytest.mark.parametrize("kind", [AtlasNet, Pixel2Mesh])
def test_an_untrained_sphere_is_the_ellipsoid_and_its_loss_reaches_every_last_layer(kind, tiny_set):
    method, generator = tiny(kind), torch.Generator().manual_seed(0)
    method.backbone = Remembered(random_maps(generator))
    batch = batch_of(ShapeSet(tiny_set.files("train")[1:2], "pinhole", surface_points=64), 2)
    with torch.autocast("cpu", torch.bfloat16):
        loss, sums = method(batch)
        vertices = method.eval().vertices(batch.images[:1]).detach()
    assert vertices.dtype == loss.dtype == torch.float32
    assert sums.shape == (0,)
    exact = icosphere(4)[0] * deformed_sphere.HALF_AXES
    if kind is AtlasNet:
        assert vertices[0].numpy() == pytest.approx(exact, abs=1e-6)
    assert np.abs(vertices[0].numpy()).max(axis=0) == pytest.approx(np.abs(exact).max(axis=0), rel=0.05)
    loss.backward()
    last = [p.grad for name, p in method.named_parameters() if "last.weight" in name]
    assert last
    assert all(bool(gradient.any()) for gradient in last)


@pytest.mark.parametrize("kind", [AtlasNet, Pixel2Mesh])
def test_weights_alone_bring_a_method_back(kind, tmp_path):
    method, other = tiny(kind), tiny(kind)
    for parameter in method.parameters():
        nn.init.normal_(parameter, std=0.05)
    torch.save(method.state_dict(), tmp_path / "weights.pt")
    other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(method.eval().vertices(image), other.eval().vertices(image))


class Given(DeformedSphere):
    """A sphere whose vertices are given."""

    def __init__(self, vertices: np.ndarray) -> None:
        super().__init__(icosphere(1)[1])
        self.given = torch.from_numpy(vertices).float()

    def vertices(self, images: Tensor) -> Tensor:
        return self.given[None]

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        raise NotImplementedError


def test_a_mirrored_sphere_is_turned_outward():
    vertices = 0.3 * icosphere(1)[0]
    image = torch.zeros(1, 3, 8, 8)
    plain, mirrored = (Given(vertices * (1, 1, sign)).surface(image, GRID, COLUMNS) for sign in (1, -1))
    assert plain.volume == pytest.approx(mirrored.volume, rel=1e-6)
    assert plain.volume > 0.08
    assert mirrored.is_watertight


def test_a_surface_stays_in_the_query_volume_and_a_collapsed_one_is_none():
    image = torch.zeros(1, 3, 8, 8)
    wide = Given(3 * icosphere(1)[0]).surface(image, GRID, COLUMNS)
    assert wide.bounds.tolist() == [[-0.5, -0.5, -0.75], [0.5, 0.5, 0.75]]
    with pytest.raises(NoSurface, match="expected a volume"):
        Given(0 * icosphere(1)[0]).surface(image, GRID, COLUMNS)


def test_width_scales_the_paper_s_channels():
    assert AtlasNet(0.25).decoder.first.weight.shape == (256, 3)
    assert Pixel2Mesh(0.25, convolutions=2).blocks[0].first.bias.shape == (64,)


def test_an_odd_number_of_convolutions_is_refused():
    with pytest.raises(TrainingError, match="expected an even number, 2 or more, found 3"):
        Pixel2Mesh(convolutions=3)
