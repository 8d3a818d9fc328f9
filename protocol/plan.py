"""The launch plan: everything that all processes of a run must agree on, as plain data.

Rules of this file: no graph library and no file access; the launcher computes neighbourhoods once and every process
reads them here, so that the sim server needs numpy, pyzmq and msgpack only.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from scalmarl.protocol.keys import COORDINATOR, SIM, Role, role_of
from scalmarl.protocol.task import TaskSpec


@dataclass(frozen=True)
class Plan:
    """One run. ``neighbours[i]``: the agents within kappa hops of i, without i, ascending;
    ``colours[i]``: i's colour in a proper colouring of the kappa-th power of the graph; ``cliques[i]``: N_kappa(i)
    split into groups whose members all hear one another, which share i's slack evenly.

    ``steps`` control steps per round (T) of ``copies`` copies of the world (E) in ``groups`` groups (G) that are
    stepped in turn. ``run`` stands in every frame; ``config_hash`` covers all that decides the numbers, so not
    ``rounds``, which may be extended, nor ``schedule`` and ``world_threads``, which change no bit. ``exchanged`` names
    the kinds that the algorithm lets agents tell one another besides states. ``learner`` holds the settings that only
    agents read.

    ``absent``: agents that the run goes on without, ascending; only where ``on_loss`` is ``mask``. It is one set for
    the whole life of a process: when it changes, all start again from a common round (``launch.absence``).
    """

    run: int
    config_hash: str
    seed: int
    rounds: int
    kappa: int
    steps: int
    copies: int
    groups: int
    order: str
    schedule: str
    world_threads: int
    neighbours: tuple[tuple[int, ...], ...]
    colours: tuple[int, ...]
    cliques: tuple[tuple[tuple[int, ...], ...], ...]
    exchanged: tuple[str, ...]
    task: TaskSpec
    learner: dict[str, Any]
    on_loss: str = "wait"
    absent: tuple[int, ...] = ()

    @property
    def agents(self) -> int:
        """N, the number of agents."""
        return len(self.neighbours)

    @property
    def group_copies(self) -> int:
        """Copies in one group, E / G."""
        return self.copies // self.groups

    @property
    def samples(self) -> int:
        """B = T * E, samples per agent and round, indexed ``[t][copy]``."""
        return self.steps * self.copies

    def costs(self, agent: int) -> int:
        """m, the number of costs of an agent."""
        return len(self.task.cost_limits[agent])

    @property
    def present(self) -> tuple[int, ...]:
        """The agents that take part, ascending."""
        return tuple(agent for agent in range(self.agents) if agent not in self.absent)

    def heard(self, agent: int) -> tuple[int, ...]:
        """The neighbours that take part, ascending; nobody for an agent that does not."""
        if agent in self.absent:
            return ()
        return tuple(other for other in self.neighbours[agent] if other not in self.absent)

    def neighbourhood(self, agent: int) -> tuple[int, ...]:
        """N_kappa(agent) with the agent itself, ascending; absent agents have their place in it."""
        return tuple(sorted((*self.neighbours[agent], agent)))

    def input_width(self, agent: int) -> int:
        """D: the blocks of N_kappa side by side; under ``mask`` then one column per neighbour, 1 if it is present."""
        presence = len(self.neighbours[agent]) if self.on_loss == "mask" else 0
        return sum(self.task.block_sizes[other] for other in self.neighbourhood(agent)) + presence

    def processes(self) -> tuple[int, ...]:
        """Every process that takes part: agents, sim server, coordinator."""
        return (*self.present, SIM, COORDINATOR)

    def peers(self, process: int) -> tuple[int, ...]:
        """The only processes that this one may exchange a byte with."""
        role = role_of(process)
        if role is Role.AGENT:
            return (*self.heard(process), SIM, COORDINATOR)
        return (*self.present, COORDINATOR if role is Role.SIM else SIM)

    def to_data(self) -> dict[str, Any]:
        """Plain data for JSON or MessagePack."""
        return {**asdict(self), "task": self.task.to_data()}

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Plan:
        """The inverse of ``to_data``. A plan from before agents could be absent has none."""
        tuples = {
            "neighbours": tuple(tuple(row) for row in data["neighbours"]),
            "colours": tuple(data["colours"]),
            "cliques": tuple(tuple(tuple(group) for group in row) for row in data["cliques"]),
            "exchanged": tuple(data["exchanged"]),
            "absent": tuple(data.get("absent", ())),
        }
        return cls(**{**data, **tuples, "task": TaskSpec.from_data(data["task"])})
