"""What can go wrong while making or judging a bundle."""

from model.errors import MonotwinError


class TrainingError(MonotwinError):
    """A run file, a data folder or a checkpoint is not what was expected, or a run cannot go on."""


class UnreadableModel(TrainingError):
    """A file of a public data set is missing, damaged or not in its format; the message names it."""
