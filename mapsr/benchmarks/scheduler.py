"""A cluster that maps, as events: who waits for whom, and what is busy all the time.

As the Ray engine does it: the head gives each actor two units, and one more for each that comes
back. An actor reads a unit's pixels from the shared store, scores it, and goes on with its next
unit while the result travels to the head, which keeps it in a file. Store, network and head serve
one after the other, in the order in which they are asked.
"""

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

_IN_HAND = 2
"""Units that an actor has at once, as `mapsr.mapping.actors` gives them."""
_ENOUGH = 0.95
"""Efficiency from which on nothing is called a bottleneck."""
_BUSY = 0.5
"""Share of the time that a bottleneck is busy at least; else actors wait for the last units."""
HEAD, FILES, NETWORK, STORE = "head", "small files", "object store", "image store"
TAIL = "last units"


@dataclass(frozen=True)
class UnitCosts:
    """What one unit takes.

    Attributes:
        seconds: of scoring it, as they were recorded; a simulation draws from them.
        head_seconds: of the head, to give it and to take its result.
        file_seconds: of the head, to keep the result in a file of its own.
        image_mib: read from the shared store.
        result_mib: that travel to the head.
    """

    seconds: tuple[float, ...]
    head_seconds: float
    file_seconds: float
    image_mib: float
    result_mib: float


@dataclass(frozen=True)
class Cluster:
    """What is shared.

    Attributes:
        actors: of a node.
        store_mib_s: that the shared store gives to all nodes together, per second.
        network_mib_s: that reach the head, per second.
    """

    actors: int = 16
    store_mib_s: float = 20 * 1024
    network_mib_s: float = 1192.0


@dataclass(frozen=True)
class Simulated:
    """What became of a simulated job.

    Attributes:
        seconds: until the last result is kept.
        busy: seconds that each shared thing was busy.
    """

    seconds: float
    busy: dict[str, float]


@dataclass
class _Server:
    """Serves one after the other."""

    free: float = 0.0
    busy: float = 0.0

    def serve(self, now: float, seconds: float) -> float:
        """When a request of now is done."""
        self.free = max(self.free, now) + seconds
        self.busy += seconds
        return self.free


@dataclass
class _Actor:
    """Units that wait at an actor, and whether it works."""

    waiting: deque[float] = field(default_factory=deque)
    works: bool = False


def simulate(units: Sequence[float], costs: UnitCosts, cluster: Cluster, nodes: int) -> Simulated:
    """Do units, whose seconds of scoring are given, on so many nodes.

    Args:
        units: seconds of scoring each unit, in the order in which they are given out.
        costs: what a unit takes beside that.
        cluster: what the nodes share.
        nodes: of ``cluster.actors`` actors each.
    """
    return _Simulation(units, costs, cluster, nodes).run()


class _Simulation:
    """The events of a job; each is a time, a number that keeps their order, and what is done."""

    def __init__(
        self, units: Sequence[float], costs: UnitCosts, cluster: Cluster, nodes: int
    ) -> None:
        self._units = deque(units)
        self._costs = costs
        self._read = costs.image_mib / cluster.store_mib_s
        self._send = costs.result_mib / cluster.network_mib_s
        self._actors = [_Actor() for _ in range(nodes * cluster.actors)]
        self._store, self._network, self._head = _Server(), _Server(), _Server()
        self._events: list[tuple[float, int, str, int, float]] = []
        self._count = self._kept = 0
        self._now = 0.0

    def run(self) -> Simulated:
        # first everybody's first, then everybody's second
        for _ in range(_IN_HAND):
            for number in range(len(self._actors)):
                self._give(number)
        done = 0.0
        while self._events:
            self._now, _, kind, number, seconds = heapq.heappop(self._events)
            if kind == "given":
                self._actors[number].waiting.append(seconds)
                self._begin(number)
            elif kind == "read":
                self._at(self._now + seconds, "scored", number)
            elif kind == "scored":
                self._actors[number].works = False
                self._begin(number)
                self._at(self._network.serve(self._now, self._send), "came", number)
            elif kind == "came":
                kept = self._head.serve(self._now, self._costs.file_seconds)
                self._at(kept, "kept", number)
            else:
                done = self._now
                self._give(number)
        files = self._costs.file_seconds * self._kept
        return Simulated(
            done,
            {
                HEAD: self._head.busy - files,
                FILES: files,
                NETWORK: self._network.busy,
                STORE: self._store.busy,
            },
        )

    def _give(self, number: int) -> None:
        if self._units:
            given = self._head.serve(self._now, self._costs.head_seconds)
            self._at(given, "given", number, self._units.popleft())

    def _begin(self, number: int) -> None:
        actor = self._actors[number]
        if actor.waiting and not actor.works:
            actor.works = True
            read = self._store.serve(self._now, self._read)
            self._at(read, "read", number, actor.waiting.popleft())

    def _at(self, time: float, kind: str, number: int, seconds: float = 0.0) -> None:
        self._kept += kind == "kept"
        heapq.heappush(self._events, (time, self._count, kind, number, seconds))
        self._count += 1


@dataclass(frozen=True)
class Scaling:
    """How well so many nodes work.

    Attributes:
        nodes: how many.
        efficiency: seconds of scoring done per second and node, over those of one node.
        bottleneck: what is busiest where the efficiency is below 0.95; None: nothing is.
        shares: of the time that each shared thing is busy.
    """

    nodes: int
    efficiency: float
    bottleneck: str | None
    shares: dict[str, float]


def scaling(
    costs: UnitCosts, cluster: Cluster, nodes: Sequence[int], each: int = 20, seed: int = 0
) -> list[Scaling]:
    """Simulate jobs that grow with the nodes: ``each`` units an actor.

    Args:
        costs: of a unit.
        cluster: what nodes share.
        nodes: how many, one after the other.
        each: units an actor.
        seed: of the draw of recorded seconds.
    """
    found = []
    _, alone = _simulated(costs, cluster, 1, each, seed)
    for count in nodes:
        made, rate = _simulated(costs, cluster, count, each, seed)
        efficiency = rate / (count * alone)
        shares = {name: busy / made.seconds for name, busy in made.busy.items()}
        found.append(Scaling(count, efficiency, _bottleneck(efficiency, shares), shares))
    return found


def _simulated(
    costs: UnitCosts, cluster: Cluster, nodes: int, each: int, seed: int
) -> tuple[Simulated, float]:
    """A job, and its seconds of scoring per second."""
    count = nodes * cluster.actors * each
    units = np.random.default_rng(seed).choice(costs.seconds, count).tolist()
    made = simulate(units, costs, cluster, nodes)
    return made, sum(units) / made.seconds


def _bottleneck(efficiency: float, shares: dict[str, float]) -> str | None:
    if efficiency >= _ENOUGH:
        return None
    # the head's thread does both; the larger part of it is to blame
    thread = shares[HEAD] + shares[FILES]
    others = {name: share for name, share in shares.items() if name in (NETWORK, STORE)}
    busiest = max(others, key=lambda name: others[name])
    if max(thread, others[busiest]) < _BUSY:
        return TAIL
    if thread >= others[busiest]:
        return HEAD if shares[HEAD] >= shares[FILES] else FILES
    return busiest
