"""Photographs a procedural part of a held-out family: how docs/sample.png was made.

    python docs/examples/make_sample.py FAMILY SEED PICTURE.png

The picture is RGBA and tells its focal length in EXIF, as a phone's does, so that the service can use the exact camera.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from model.image import FULL_FRAME_DIAGONAL
from training.data.families import make_part, split_of
from training.rendering.cameras import CropCamera, frame_silhouette
from training.rendering.environment import draw_environment
from training.rendering.materials import draw_material
from training.rendering.renderer import Renderer

SIZE = 512  # pixels
MARGIN = 1.25  # the picture's side in crop sides: a photo leaves room around the part
FIELD_OF_VIEW_DEGREES = 14.0  # across the part: a phone's zoom lens


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes a sample photo of a procedural part.")
    parser.add_argument("family")
    parser.add_argument("seed", type=int)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--azimuth", type=float, default=35.0, help="degrees")
    parser.add_argument("--elevation", type=float, default=28.0, help="degrees")
    arguments = parser.parse_args()
    part = make_part(arguments.family, arguments.seed)
    rng = np.random.default_rng(arguments.seed)
    crop = frame_silhouette(*pose(arguments.azimuth, arguments.elevation), part.vertices)
    camera = replace(crop, side=crop.side * MARGIN)
    pixels = Renderer(part.vertices, part.faces).render(camera, draw_material(rng), draw_environment(rng), SIZE, rng)
    Image.fromarray(pixels).save(arguments.picture, exif=exif(camera), optimize=True)
    print(f"{arguments.picture}: {arguments.family} {arguments.seed}, {split_of(arguments.family)} split")


def pose(azimuth: float, elevation: float) -> tuple[np.ndarray, np.ndarray]:
    """Rotation (3, 3), camera axes as rows, and eye (3,) of a camera that looks at the part's middle; degrees."""
    a, e = math.radians(azimuth), math.radians(elevation)
    backward = np.array([math.cos(e) * math.cos(a), math.cos(e) * math.sin(a), math.sin(e)])
    right = np.array([-math.sin(a), math.cos(a), 0.0])
    eye = backward * 0.5 / math.sin(math.radians(FIELD_OF_VIEW_DEGREES) / 2)
    return np.stack([right, np.cross(backward, right), backward]), eye


def exif(camera: CropCamera) -> Image.Exif:
    """The 35 mm equivalent focal length, taken over the diagonal."""
    focal_length_px = SIZE / camera.side
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = 1  # upright; Pillow writes no EXIF that holds sub-tables alone
    equivalent = round(focal_length_px / (SIZE * math.sqrt(2)) * FULL_FRAME_DIAGONAL)
    tags.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = equivalent
    return tags


if __name__ == "__main__":
    main()
