"""What can go wrong between a photo and a mesh. No HTTP in here: `app.problems` maps each class to an answer.

MonotwinError
├── BundleError                 the exported network cannot be used
├── ProviderError               the demanded device cannot be used
└── ReconstructionError         this photo cannot become a mesh
    ├── UnreadableImage         bytes that are no complete image
    │   ├── UnsupportedImage    not an image format that is read here
    │   └── ImageTooLarge       more pixels than allowed
    ├── InvalidMask             the mask does not fit the image
    ├── InvalidOption           an option out of its range
    ├── NoForeground            no object was found in the image
    ├── CameraTooClose          the pinhole camera stands inside the query volume
    ├── NoSurface               the field does not cross the iso-level
    └── Cancelled               nobody waits for the mesh any more
"""


class MonotwinError(Exception):
    """Base of every error this project raises on purpose. The message says what was expected and what was found."""


class BundleError(MonotwinError):
    """A bundle is missing, incomplete, damaged or made for another version."""


class ProviderError(MonotwinError):
    """ONNX Runtime is not usable as demanded: no CUDA device, or two of its wheels at once."""


class ReconstructionError(MonotwinError):
    """A photo cannot be turned into a mesh."""


class UnreadableImage(ReconstructionError):
    """The bytes are empty, truncated or damaged."""


class UnsupportedImage(UnreadableImage):
    """The bytes are no image, or one of a format that is not read here."""


class ImageTooLarge(UnreadableImage):
    """The image has more pixels than the limit; found from its header, before decoding."""


class InvalidMask(ReconstructionError):
    """The mask has another size than the image."""


class InvalidOption(ReconstructionError):
    """An option lies outside its range."""


class NoForeground(ReconstructionError):
    """No object was found in the image: fully transparent, empty mask, or nothing but background."""


class CameraTooClose(ReconstructionError):
    """The camera's distance is not beyond the query volume's front wall, so that rays cannot be columns."""


class NoSurface(ReconstructionError):
    """The occupancy field stays on one side of the iso-level."""


class Cancelled(ReconstructionError):
    """The caller asked to stop: its client went away, or the deadline passed."""
