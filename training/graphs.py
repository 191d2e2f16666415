"""The ONNX graphs of a bundle, as torch modules and as bytes.

B pictures, n nodes along one side of the column grid, H1 width of the first hidden layer, N points.
"""

from __future__ import annotations

import copy
import io
import warnings

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import numpy_helper
from torch import Tensor, nn
from torch.export import Dim
from torch.nn.utils.fusion import fuse_conv_bn_eval

from model.networks.decoder import NEGATIVE_SLOPE, Decoder
from model.networks.encoder import ImageEncoder
from model.networks.occupancy_network import OccupancyNetwork
from model.networks.point_features import tent_weights

OPSET = 18
MIN_STORED_HALF = 1024  # weights with fewer values (biases) stay float32: they cost nothing


class EncoderGraph(nn.Module):
    """(images, lateral) -> feature planes: the first decoder layer's pre-activation at every column, without its depth term.

    Bilinear sampling on a regular grid is one small matrix product per axis; along v all maps' products are one.
    """

    def __init__(self, network: OccupancyNetwork) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).eval()
        _fold_batch_norms(self.network.encoder)

    def forward(self, image: Tensor, lateral: Tensor) -> Tensor:
        """image (B, 3, S, S) normalised, lateral (n,) the nodes' u and v -> planes (B n n, H1).

        Row (b n + i) n + j is column (u_i, v_j) of picture b, so that to the decoder a batch is a plane with more columns.
        """
        n, pictures = lateral.shape[0], image.shape[0]
        decoder = self.network.decoder
        w_u, w_v, _ = decoder.position_weights.unbind(dim=1)
        u_term = lateral[:, None] * w_u + decoder.first.bias
        # The terms of u, of v and the bias are two more rows of the product along v, instead of two more passes over the plane.
        along_u = [u_term[:, None].expand(pictures, n, 1, -1), w_v.expand(pictures, n, 1, -1)]
        weights_v = [torch.ones_like(lateral)[:, None], lateral[:, None]]
        for m in self.network.encode(image):
            channels, height, width = m.shape[1:]
            by_column = m.permute(0, 3, 2, 1).reshape(pictures, width, height * channels)
            along_u.append((tent_weights(lateral, width) @ by_column).reshape(pictures, n, height, channels))
            weights_v.append(tent_weights(-lateral, height))  # image rows run downwards
        return (torch.cat(weights_v, dim=1) @ torch.cat(along_u, dim=2)).flatten(0, 2)  # (B, n, n, H1), flattened


class DecoderGraph(nn.Module):
    """(plane, columns, depths) -> occupancy; each batch norm is folded into the linear layer behind it."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.depth_weight = nn.Parameter(decoder.position_weights[:, 2].detach().clone())
        pairs = zip(decoder.norms, decoder.rest, strict=True)
        self.layers = nn.ModuleList(_fold_into_next(norm, linear) for norm, linear in pairs)

    def forward(self, plane: Tensor, columns: Tensor, depths: Tensor) -> Tensor:
        """plane (n n, H1), columns (N,) int64, depths (N,) -> occupancy (N,) in [0, 1]."""
        # one Gemm, which ONNX Runtime's CPU provider fuses with the activation: fewer passes over (N, H1) than Mul and Add
        x = torch.addmm(torch.index_select(plane, 0, columns), depths[:, None], self.depth_weight[None])
        for layer in self.layers:
            x = layer(F.leaky_relu(x, NEGATIVE_SLOPE))
        return torch.sigmoid(x[:, 0])


class HalfDecoderGraph(nn.Module):
    """`DecoderGraph` with the matrix products between its first and its last activation in fp16, for GPUs.

    What meets z stays float32, since fp16 would round z to an eighth of a voxel and more, and so does what makes the logit. The
    depth term is a product of elements: in a matrix product TF32 might round it.
    """

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        exact = DecoderGraph(decoder)
        self.depth_weight = exact.depth_weight
        self.layers = nn.ModuleList(layer.half() for layer in exact.layers[:-1])
        self.last = exact.layers[-1]

    def forward(self, plane: Tensor, columns: Tensor, depths: Tensor) -> Tensor:
        """As `DecoderGraph.forward`, with the same types."""
        x = torch.index_select(plane, 0, columns) + depths[:, None] * self.depth_weight
        x = F.leaky_relu(x, NEGATIVE_SLOPE).half()
        for layer in self.layers:
            x = F.leaky_relu(layer(x), NEGATIVE_SLOPE)
        return torch.sigmoid(self.last(x.float())[:, 0])


def encoder_bytes(network: OccupancyNetwork, image_size: int, *, half: bool) -> bytes:
    """encoder.onnx; half: weights stored as fp16 and cast back when the graph is loaded."""
    example = (torch.zeros(2, 3, image_size, image_size), torch.linspace(-0.5, 0.5, 33))
    shapes = ({0: Dim("pictures", min=1)}, {0: Dim("n", min=2)})
    return _export(EncoderGraph(network), example, ["image", "lateral"], "plane", shapes, half=half)


def decoder_bytes(network: OccupancyNetwork, *, half: bool) -> bytes:
    """decoder.onnx; half as in `encoder_bytes`."""
    return _decoder_bytes(DecoderGraph(network.decoder), half=half)


def half_decoder_bytes(network: OccupancyNetwork) -> bytes:
    """decoder_half.onnx."""
    return _decoder_bytes(HalfDecoderGraph(network.decoder), half=False)  # its weights are fp16 as they stand


def _decoder_bytes(graph: DecoderGraph | HalfDecoderGraph, *, half: bool) -> bytes:
    points = Dim("points", min=2)
    example = (torch.zeros(9, len(graph.depth_weight)), torch.zeros(5, dtype=torch.int64), torch.zeros(5))
    shapes = ({0: Dim("columns", min=2)}, {0: points}, {0: points})
    return _export(graph, example, ["plane", "columns", "depths"], "occupancy", shapes, half=half)


def _export(
    module: nn.Module, example: tuple[Tensor, ...], inputs: list[str], output: str, shapes: tuple[object, ...], *, half: bool
) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch's exporter uses what torch itself deprecates
        warnings.filterwarnings("ignore", "# The axis name", UserWarning)  # columns and depths are meant to share theirs
        program = torch.onnx.export(
            module.eval(),
            example,
            input_names=inputs,
            output_names=[output],
            dynamic_shapes=shapes,
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    graph = program.model_proto
    for node in graph.graph.node:  # names of source lines and stack frames of the exporting machine
        del node.metadata_props[:]
        node.doc_string = ""
    if half:
        _store_half(graph.graph)
    onnx.checker.check_model(graph)
    buffer = io.BytesIO()
    onnx.save_model(graph, buffer)
    return buffer.getvalue()


def _store_half(graph: onnx.GraphProto) -> None:
    """Stores large float32 weights as fp16 behind a Cast, which ONNX Runtime folds away when it loads the graph."""
    casts = []
    for weight in graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size < MIN_STORED_HALF:
            continue
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}_fp16"))
        casts.append(onnx.helper.make_node("Cast", [weight.name], [name], f"{name}_cast", to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _fold_batch_norms(encoder: ImageEncoder) -> None:
    """Replaces each convolution and the batch norm behind it by one convolution."""
    backbone = encoder.backbone
    blocks = [block for stage in (backbone.layer1, backbone.layer2, backbone.layer3, backbone.layer4) for block in stage]
    for owner in (backbone, *blocks):
        for conv, norm in (("conv1", "bn1"), ("conv2", "bn2")):
            if hasattr(owner, conv):
                setattr(owner, conv, fuse_conv_bn_eval(getattr(owner, conv), getattr(owner, norm)))
                setattr(owner, norm, nn.Identity())
    for block in blocks:
        if block.downsample is not None:
            block.downsample = nn.Sequential(fuse_conv_bn_eval(*block.downsample))


def _fold_into_next(norm: nn.BatchNorm1d, linear: nn.Linear) -> nn.Linear:
    """linear(norm(x)) as one linear layer: W diag(g) x + (W (b - g mu) + c), g = gamma / sigma."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    shift = norm.bias - gain * norm.running_mean
    folded = nn.Linear(linear.in_features, linear.out_features)
    with torch.no_grad():
        folded.weight.copy_(linear.weight * gain)
        folded.bias.copy_(linear.bias + linear.weight @ shift)
    return folded
