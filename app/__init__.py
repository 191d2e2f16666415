"""The REST service and the command line: speak HTTP and files, hold no mathematics."""

from importlib.metadata import version

__version__ = version("monotwin")
