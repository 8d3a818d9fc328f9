"""A run whose processes live behind a router that drops every packet between agents more than kappa hops apart.

Who may pass follows from the hops of the graph alone, not from what the launch planned, so a plan with a neighbour too
many would be caught. Runs are real launches, on the network of the wall or, for comparison, without any.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.launching import Document, Launch
from benchmarks.router import Counts, Network, PacketCounter, probe
from scalmarl.launch.config import resolve
from scalmarl.launch.planning import make_plan
from scalmarl.protocol.graph import hop_distances
from scalmarl.protocol.keys import Role, process_name, role_of

BLOCKED_FOR_S = 5.0
"""How long a run that needs a forbidden link is watched: it must not get through one round."""

Ends = tuple[int, int]
"""Two processes, the one that is listed first in a plan before the other."""


@dataclass(frozen=True)
class Size:
    """What is launched; small, because the proof does not depend on it."""

    agents: int = 5
    kappa: int = 1
    rounds: int = 12
    envs: int = 8
    steps: int = 32
    seed: int = 0

    def arguments(self) -> list[str]:
        """For ``scalmarl launch``."""
        pairs = [(f"--{name}", str(value)) for name, value in vars(self).items()]
        return [word for pair in pairs for word in pair]


@dataclass(frozen=True)
class Wall:
    """The network, the counter in its router, and who may pass."""

    network: Network
    counter: PacketCounter
    processes: tuple[int, ...]
    hops: dict[int, dict[int, int]]
    kappa: int

    def pairs(self) -> list[Ends]:
        """Every two processes."""
        return [(one, other) for n, one in enumerate(self.processes) for other in self.processes[n + 1 :]]

    def distance(self, ends: Ends) -> int | None:
        """Hops between two agents; ``None`` where there is no path, or one is no agent."""
        return self.hops.get(ends[0], {}).get(ends[1])

    def allows(self, ends: Ends) -> bool:
        """Whether packets between the two pass."""
        distance = self.distance(ends)
        of_agents = all(role_of(process) is Role.AGENT for process in ends)
        return not of_agents or (distance is not None and distance <= self.kappa)

    def number(self, process: int) -> int:
        """The number of a process's namespace."""
        return self.processes.index(process) + 1

    def ways(self, ends: Ends) -> list[tuple[str, str]]:
        """Both directions, as addresses."""
        one, other = (self.network.address(self.number(process)) for process in ends)
        return [(one, other), (other, one)]

    def rows(self, counts: Counts) -> list[Document]:
        """The table: one row per pair, both directions together."""
        return [
            {
                "pair": [process_name(process) for process in ends],
                "hops": self.distance(ends),
                "allowed": self.allows(ends),
                "seen": sum(counts.seen[way] for way in self.ways(ends)),
                "dropped": sum(counts.dropped(way) for way in self.ways(ends)),
            }
            for ends in self.pairs()
        ]


@contextlib.contextmanager
def wall_for(size: Size) -> Iterator[Wall]:
    """A network with a namespace per process, and a rule against every two agents more than kappa hops apart."""
    settings = {"run.agents": size.agents, "run.kappa": size.kappa}
    planned = make_plan(*resolve(None, (), settings))
    with Network(len(planned.plan.processes())) as network, PacketCounter(network) as counter:
        wall = Wall(network, counter, planned.plan.processes(), hop_distances(planned.graph), size.kappa)
        for ends in wall.pairs():
            if not wall.allows(ends):
                network.forbid(*(wall.number(process) for process in ends))
        yield wall


def try_probes(wall: Wall) -> Document:
    """One datagram between every two agents, each way: does the wall hold, and does the counter count?"""
    wall.counter.take()
    agents = [process for process in wall.processes if role_of(process) is Role.AGENT]
    pairs = [ends for ends in wall.pairs() if set(ends) <= set(agents)]
    ways = {True: [], False: []}  # type: dict[bool, list[Ends]]
    for one, other in pairs:
        ways[wall.allows((one, other))] += [(one, other), (other, one)]
    numbers = [wall.number(agent) for agent in agents]
    arrived = probe(wall.network, numbers, len(ways[True]))
    counts = wall.counter.take()
    counted = {
        may_pass: [
            (counts.seen[way], counts.passed[way])
            for one, other in ways[may_pass]
            for way in wall.ways((one, other))[:1]
        ]
        for may_pass in ways
    }
    expected = {(wall.number(one), wall.number(other)) for one, other in ways[True]}
    return {
        "allowed": len(ways[True]), "forbidden": len(ways[False]),
        "arrived": len(arrived & expected), "strayed": len(arrived - expected),
        "seen": sum(seen for rows in counted.values() for seen, _ in rows),
        "dropped": sum(seen - passed for rows in counted.values() for seen, passed in rows),
        "exact": all(row == (1, 1) for row in counted[True]) and all(row == (1, 0) for row in counted[False]),
    }  # fmt: skip


Disturbance = Callable[[Launch, Wall], Document]


def walled(wall: Wall, size: Size, path: Path, disturb: Disturbance | None = None) -> Document:
    """A run on the wall's network to its end, disturbed on the way: digest, restarts, and the table of its packets."""
    wall.counter.take()
    with Launch(path, [*size.arguments(), *wall.network.settings()]) as launch:
        told = disturb(launch, wall) if disturb else {}
        digest = launch.finish()
        restarts = launch.restarts()
    counts = wall.counter.take()
    return {
        "digest": digest, "restarts": restarts, "pairs": wall.rows(counts), "other_packets": counts.others,
        "disturbance": told,
    }  # fmt: skip


def unwalled(size: Size, path: Path) -> Document:
    """The same run without a network."""
    with Launch(path, size.arguments()) as launch:
        return {"digest": launch.finish()}


def overreaching(wall: Wall, size: Size, path: Path) -> Document:
    """A run that needs one hop more than the wall lets through: it must try, be dropped, and get nowhere."""
    wall.counter.take()
    forbidden = [way for ends in wall.pairs() if not wall.allows(ends) for way in wall.ways(ends)]
    with Launch(path, [*replace(size, kappa=size.kappa + 1).arguments(), *wall.network.settings()]) as launch:
        launch.wait_until(lambda: any(wall.counter.peek(way) for way in forbidden), "packets to a forbidden agent")
        with contextlib.suppress(subprocess.TimeoutExpired):
            launch.process.wait(BLOCKED_FOR_S)
        state = launch.state()
    rows = wall.rows(wall.counter.take())
    return {"rounds": state["round"], "dropped": sum(row["dropped"] for row in rows if not row["allowed"])}


def kill_each_agent(launch: Launch, wall: Wall) -> Document:
    """SIGKILL the agents in turn, one after every commit."""
    killed = []
    for agent in (process for process in wall.processes if role_of(process) is Role.AGENT):
        launch.wait_for_round(agent + 1)
        launch.wait_until(lambda: {p["state"] for p in launch.state()["processes"]} == {"running"}, "all are running")
        name = process_name(agent)
        os.kill(next(p["pid"] for p in launch.state()["processes"] if p["name"] == name), signal.SIGKILL)
        killed.append(name)
    return {"killed": killed}


def cut_off(seconds: float) -> Disturbance:
    """Pull the middle agent's cable out for so long, and measure how the run goes on when it is back."""

    def cut(launch: Launch, wall: Wall) -> Document:
        agent = len([process for process in wall.processes if role_of(process) is Role.AGENT]) // 2
        launch.wait_for_round(2)
        wall.network.plug(wall.number(agent), is_in=False)
        try:
            time.sleep(seconds)
            committed, stuck = launch.state()["round"], launch.waits_for(agent)
        finally:
            wall.network.plug(wall.number(agent), is_in=True)
        healed = time.monotonic()
        launch.wait_until(lambda: launch.waits_for(agent) != stuck, "the agent goes on")
        went_on = time.monotonic() - healed
        launch.wait_for_round(committed + 1)
        return {
            "cut_off": process_name(agent), "seconds": seconds, "waited_for": stuck, "goes_on_s": round(went_on, 2),
            "next_commit_s": round(time.monotonic() - healed, 2),
        }  # fmt: skip

    return cut
