"""A GPU that is not there: plain memory, and streams that run late.

A stream is a queue. What lies in it runs when somebody waits for it, or earlier: `eager` is the
chance for each stream, by its number, that it runs on whenever the driver is called. Every such
schedule is one that a real GPU may choose, so an answer that depends on it is a missing wait.
What is not valid is poison (bytes of 0xFF: NaN, -1): new and freed memory, the target of a copy
until it ends, the source of a copy and the input of a computation once they are used.

Time is simulated: copies up, computing and copies down each have an engine of their own and take
as long as `Simulation` says; `spans` tells what ran when.
"""

import random
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

POISON = 0xFF
PAGE = 1 << 12
ILLEGAL_ADDRESS = "an illegal memory access was encountered"


class Error(Exception):
    """Base of the driver's errors."""


class MemoryError(Error):  # noqa: A001
    """Out of memory."""


class LogicError(Error):
    """Most faults, an illegal address among them."""


class LaunchError(Error):
    """A kernel failed."""


class RuntimeError(Error):  # noqa: A001
    """No device, an ECC fault, …"""


@dataclass
class Mark:
    """One recording of an event."""

    stream: "Queue"
    done: bool = False
    at_ms: float = 0.0


@dataclass
class Task:
    """What lies in a stream: something to run, a mark to set, or one to wait for."""

    engine: str = ""
    took_ms: float = 0.0
    run: Callable[[], None] = lambda: None
    sets: Mark | None = None
    waits: Mark | None = None
    since_ms: float = 0.0


@dataclass
class Queue:
    """A stream's inside."""

    number: int
    tasks: deque[Task] = field(default_factory=deque)
    ready_ms: float = 0.0

    @property
    def blocked(self) -> bool:
        """Whether nothing of it can run now."""
        return not self.tasks or (self.tasks[0].waits is not None and not self.tasks[0].waits.done)


@dataclass
class Span:
    """What an engine did, and when."""

    engine: str
    start_ms: float
    end_ms: float


class Simulation:
    """One GPU with its driver. ``fails`` maps a driver call and its turn to the error it raises."""

    def __init__(
        self,
        *,
        eager: Sequence[float] = (0.0, 0.0),
        seed: int = 0,
        memory_bytes: int = 1 << 30,
        up_ms: float = 2.0,
        compute_ms: float = 6.0,
        down_ms: float = 1.0,
    ) -> None:
        self.eager, self.random = eager, random.Random(seed)
        self.free_bytes = memory_bytes
        self.took_ms = {"up": up_ms, "compute": compute_ms, "down": down_ms}
        self.now_ms = 0.0
        self.spans: list[Span] = []
        self.fails: dict[tuple[str, int], Exception] = {}
        self.dies_at: int | None = None
        self.dead = ""
        self.saw_poison = False
        self.refuses = self.refuses_contexts = self.refuses_runtime = False
        self.calls: dict[str, int] = {}
        self.leaks: list[str] = []
        self.freed: list[str] = []
        self.memory: dict[int, NDArray[np.uint8]] = {}
        self.pinned_bytes = 0
        self.contexts: dict[int, list[Any]] = {}
        self._engine_free_ms: dict[str, float] = {}
        self._queues: list[Queue] = []
        self._next_address = PAGE
        self.lock = threading.RLock()

    # -- the driver's side ------------------------------------------------------------------

    def call(self, name: str) -> None:
        """Begin a call of the driver: it needs a context, may fail, and lets streams run on."""
        if not self.stack():
            raise LogicError(f"{name} failed: invalid device context")
        turn = self.calls[name] = self.calls.get(name, 0) + 1
        if self.dead:
            raise LogicError(f"{name} failed: {self.dead}")
        if (name, turn) in self.fails:
            raise self.fails[name, turn]
        self.now_ms += 0.001
        self._run_on()

    def stack(self) -> list[Any]:
        """The contexts that are current in this thread."""
        return self.contexts.setdefault(threading.get_ident(), [])

    def release(self, what: str, context: Any) -> None:
        """Note that something is freed; a leak where its context is not current."""
        stack = self.stack()
        (self.freed if stack and stack[-1] is context else self.leaks).append(what)

    # -- streams ----------------------------------------------------------------------------

    def new_queue(self) -> Queue:
        queue = Queue(len(self._queues))
        self._queues.append(queue)
        return queue

    def queue_of(self, handle: int) -> Queue:
        return self._queues[handle - 1]

    def task(self, engine: str, run: Callable[[], None]) -> Task:
        return Task(engine, self.took_ms[engine], run)

    def put(self, queue: Queue, task: Task) -> None:
        task.since_ms = self.now_ms
        queue.tasks.append(task)
        self._run_on()

    def reach(self, mark: Mark) -> None:
        """Run what must run until a mark is set; the host's clock waits with it."""
        while not mark.done:
            self._step(mark.stream)
            self.alive("cuEventSynchronize")
        self.now_ms = max(self.now_ms, mark.at_ms)

    def finish(self) -> None:
        """Run everything."""
        for queue in self._queues:
            while queue.tasks:
                self._step(queue)
                self.alive("cuCtxSynchronize")
            self.now_ms = max(self.now_ms, queue.ready_ms)

    def alive(self, name: str) -> None:
        if self.dead:
            raise LogicError(f"{name} failed: {self.dead}")

    def _run_on(self) -> None:
        """Let every stream run as far as its eagerness wants."""
        for queue in self._queues:
            chance = self.eager[queue.number % len(self.eager)]
            while not queue.blocked and self.random.random() < chance:
                self._step(queue)

    def _step(self, queue: Queue) -> None:
        task = queue.tasks.popleft()
        if task.waits is not None:
            self.reach_quietly(task.waits)
            queue.ready_ms = max(queue.ready_ms, task.waits.at_ms)
        elif task.sets is not None:
            task.sets.done, task.sets.at_ms = True, queue.ready_ms
        elif not self.dead:
            self._run(queue, task)

    def reach_quietly(self, mark: Mark) -> None:
        while not mark.done:
            self._step(mark.stream)

    def _run(self, queue: Queue, task: Task) -> None:
        start = max(queue.ready_ms, task.since_ms, self._engine_free_ms.get(task.engine, 0.0))
        queue.ready_ms = self._engine_free_ms[task.engine] = start + task.took_ms
        if task.engine == "compute" and self.dies_at == self.computed:
            self.dead = ILLEGAL_ADDRESS
            return
        self.spans.append(Span(task.engine, start, queue.ready_ms))
        task.run()

    @property
    def computed(self) -> int:
        """How many computations have ended."""
        return sum(span.engine == "compute" for span in self.spans)

    def of(self, engine: str) -> list[Span]:
        """What one engine did."""
        return [span for span in self.spans if span.engine == engine]

    # -- memory -----------------------------------------------------------------------------

    def allocate(self, size: int) -> int:
        if size > self.free_bytes:
            raise MemoryError("cuMemAlloc failed: out of memory")
        self.free_bytes -= size
        address = self._next_address
        self._next_address += -(-size // PAGE) * PAGE + PAGE
        self.memory[address] = np.full(size, POISON, np.uint8)
        return address

    def deallocate(self, address: int) -> None:
        self.free_bytes += len(self.memory.pop(address))

    def at(self, address: int, size: int) -> NDArray[np.uint8] | None:
        """The bytes at an address; None kills the GPU, as an illegal address does."""
        memory = self.memory.get(address)
        if memory is None or size > len(memory):
            self.dead = ILLEGAL_ADDRESS
            return None
        return memory[:size]
