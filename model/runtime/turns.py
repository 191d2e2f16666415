"""How one picture's calls reach the device: at once, or in turns with those of other pictures (`model.runtime.engine`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from model.errors import Cancelled
from model.field import Float32, QueryGrid

if TYPE_CHECKING:
    from model.runtime.onnx_field import OnnxNetwork, Plane


class Call(NamedTuple):
    """One run of the decoder, about so many points."""

    run: Callable[[], None]
    points: int


class Turns(Protocol):
    """One picture's access to the device that runs the network. Every method raises Cancelled when nobody waits for the mesh."""

    def check(self) -> None:
        """Nothing but raising Cancelled, for use between long pieces of work that are not the device's."""

    def encode(self, network: OnnxNetwork, image: Float32, grid: QueryGrid) -> Plane:
        """The feature plane of a (1, 3, S, S) image, normalised; comes back when it is there."""

    def decode(self, calls: Iterable[Call]) -> None:
        """Makes the calls one after the other; comes back when all are made."""


class Cancellable:
    """What can be stopped from outside: `cancelled` tells whether it was."""

    def __init__(self, cancelled: Callable[[], bool] = lambda: False) -> None:
        self._cancelled = cancelled

    def check(self) -> None:
        if self._cancelled():
            raise Cancelled("reconstruction: stopped, nobody waits for the mesh any more")


class AtOnce(Cancellable):
    """The device belongs to the caller alone: calls are made where they are asked for."""

    def encode(self, network: OnnxNetwork, image: Float32, grid: QueryGrid) -> Plane:
        self.check()
        return network.planes(image, grid)[0]

    def decode(self, calls: Iterable[Call]) -> None:
        for call in calls:
            self.check()
            call.run()


AT_ONCE = AtOnce()
