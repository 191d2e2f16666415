"""Image -> mesh, without torch. The public names; what is not listed here may change freely."""

from model.errors import MonotwinError, ReconstructionError
from model.image import Photo
from model.mesh import Mesh
from model.reconstructor import Options, Reconstructor

__all__ = ["Mesh", "MonotwinError", "Options", "Photo", "ReconstructionError", "Reconstructor"]
