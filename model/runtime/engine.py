"""The one thread that runs networks: a device shared by pictures, each of which gets as much of it as any other.

The order is start-time fair queueing (Goyal, Vin and Cheng, 1996): a picture's *flow* counts the seconds for which it had the
device, and the next call is made for the flow that counts the fewest. A flow that comes, or comes back from work that is not the
device's, starts where the others stand: it neither owes for their past nor has saved up while it was away. So a large picture
gets its share beside small ones, and these theirs, whatever the sizes of their calls.

Encodings that wait when one is begun, for the same network and grid, are one run. Nothing waits for a batch to fill: batches
form while the device is busy.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from model.errors import Cancelled
from model.field import Float32, QueryGrid
from model.runtime.onnx_field import OnnxNetwork, Plane
from model.runtime.turns import Call, Cancellable, Turns

LAST_CALL_SECONDS = 10.0  # for the call that is being made at the end: a device that hangs shall not keep a service from ending


class Engine:
    """Owns the device. Ask it through `turns`, from any number of threads; until `start` they wait.

    observe_batch: told the pictures of each encoder run; observe_points: told the points of each decoder call; clock: seconds.
    """

    def __init__(
        self,
        *,
        observe_batch: Callable[[int], None] = lambda pictures: None,
        observe_points: Callable[[int], None] = lambda points: None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._observe_batch = observe_batch
        self._observe_points = observe_points
        self._clock = clock
        self._thread = threading.Thread(target=self._serve, name="engine", daemon=True)
        self._changed = threading.Condition()  # guards what follows, and the seconds of each flow
        self._waiting: list[_Request] = []  # in the order in which they came
        self._reached = 0.0  # the seconds of the flow that was served last: where those that come now start
        self._closed = False

    def start(self) -> None:
        """Begins to serve; once only."""
        self._thread.start()

    def close(self) -> None:
        """Finishes the call that is being made, if it ends in time, and no other; who waits, or asks later, gets Cancelled."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(LAST_CALL_SECONDS)
        self._give_up()

    @property
    def has_ended(self) -> bool:
        """Whether it was closed, or its thread has died: it makes no call any more."""
        return self._closed

    @property
    def waiting(self) -> int:
        """How many pictures wait for the device or have it."""
        return len(self._waiting)

    def turns(self, cancelled: Callable[[], bool] = lambda: False) -> Turns:
        """A new picture's way to the device, for one thread at a time; `cancelled` is asked before each of its calls."""
        return _Flow(self._carry_out, cancelled)

    def _carry_out(self, request: _Request) -> None:
        """Comes back when the engine's thread has done all of it; raises what its calls raised."""
        with self._changed:
            if self._closed:
                raise _closed()
            request.flow.seconds = max(request.flow.seconds, self._reached)
            self._waiting.append(request)
            self._changed.notify()
        request.done.wait()
        error, request.error = request.error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback holds this frame: without the ring, what the frames hold is freed at once

    def _serve(self) -> None:
        try:
            while self._take_turn():
                pass
        finally:
            self._give_up()  # whatever ended this thread, nobody shall wait for it

    def _take_turn(self) -> bool:
        """Makes the next call, and counts its seconds; False once closed. While it waits it holds nothing of a picture."""
        batch = self._next()
        if not batch:
            return False
        began = self._clock()
        if isinstance(batch[0], _Decoding):
            self._decode(batch[0])
        else:
            self._encode([request for request in batch if isinstance(request, _Encoding)])
        seconds = (self._clock() - began) / len(batch)
        with self._changed:
            for request in batch:
                request.flow.seconds += seconds
                if request.is_finished and request in self._waiting:  # it may have been given up meanwhile
                    self._waiting.remove(request)
                    request.done.set()
        return True

    def _next(self) -> Sequence[_Request]:
        """Waits; the request of the flow that had the device least, and what can be encoded along with it. None once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if self._closed:
                return []
            first, *others = sorted(self._waiting, key=lambda request: request.flow.seconds)  # of equals, who came first
            self._reached = first.flow.seconds
            if not isinstance(first, _Encoding):
                return [first]
            alike = [other for other in others if isinstance(other, _Encoding) and other.is_like(first)]
            return [first, *alike][: first.network.batch_size(first.grid)]

    def _decode(self, request: _Decoding) -> None:
        """Makes one call; what goes wrong is its caller's."""
        try:
            request.flow.check()
            assert request.upcoming is not None
            request.upcoming.run()
            self._observe_points(request.upcoming.points)
            request.advance()
        except Exception as error:  # noqa: BLE001 - raised again by `_carry_out`
            request.fail(error)

    def _encode(self, batch: Sequence[_Encoding]) -> None:
        """Encodes pictures in one run; should that go wrong, one by one, so that each learns of its own faults alone."""
        network, grid = batch[0].network, batch[0].grid
        try:
            for request in batch:
                request.flow.check()
            planes = network.planes(np.concatenate([request.image for request in batch]), grid)
            self._observe_batch(len(batch))
            for request, plane in zip(batch, planes, strict=True):
                request.plane, request.is_finished = plane, True
        except Exception as error:  # noqa: BLE001 - likewise
            if len(batch) == 1:
                batch[0].fail(error)
            else:
                for request in batch:
                    self._encode([request])

    def _give_up(self) -> None:
        with self._changed:
            self._closed = True
            for request in self._waiting:
                request.fail(_closed())
                request.done.set()
            self._waiting.clear()


class _Flow(Cancellable):
    """One picture's turns. `seconds`: for which it had the device, or more, as it starts where others stand."""

    def __init__(self, carry_out: Callable[[_Request], None], cancelled: Callable[[], bool]) -> None:
        super().__init__(cancelled)
        self._carry_out = carry_out
        self.seconds = 0.0

    def encode(self, network: OnnxNetwork, image: Float32, grid: QueryGrid) -> Plane:
        request = _Encoding(self, network, image, grid)
        self._carry_out(request)
        return request.plane

    def decode(self, calls: Iterable[Call]) -> None:
        request = _Decoding(self, iter(calls))
        if not request.is_finished:
            self._carry_out(request)


@dataclass(eq=False)
class _Request:
    """What a flow waits for."""

    flow: _Flow
    done: threading.Event = field(init=False, default_factory=threading.Event)
    is_finished: bool = field(init=False, default=False)
    error: Exception | None = field(init=False, default=None)

    def fail(self, error: Exception) -> None:
        self.error, self.is_finished = error, True


@dataclass(eq=False)
class _Encoding(_Request):
    network: OnnxNetwork
    image: Float32
    grid: QueryGrid
    plane: Plane = field(init=False)

    def is_like(self, other: _Encoding) -> bool:
        """Whether one run may encode both."""
        return self.network is other.network and self.grid == other.grid


@dataclass(eq=False)
class _Decoding(_Request):
    calls: Iterator[Call]
    upcoming: Call | None = field(init=False)

    def __post_init__(self) -> None:
        self.advance()

    def advance(self) -> None:
        """To the next call. Who waits for the last one is woken after it, and not a turn later."""
        self.upcoming = next(self.calls, None)
        self.is_finished = self.upcoming is None


def _closed() -> Cancelled:
    return Cancelled("reconstruction: stopped, the device's engine is closed")
