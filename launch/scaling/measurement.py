"""What a run of N agents really costs: one real launch, measured while it works.

Times are those that a run records of itself, bytes are the ledger's, processor time and memory are the operating
system's. Used by ``scalmarl bench scale``, and by ``scalmarl plan`` to calibrate and to check.
"""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import asdict, dataclass
from typing import Any

import psutil

from scalmarl.launch.bench.live import Bench, launched
from scalmarl.launch.config import resolve
from scalmarl.launch.errors import TimedOut, TrainingFailed
from scalmarl.launch.planning import draw_plan
from scalmarl.launch.records import read_lines
from scalmarl.launch.run_directory import read_plan
from scalmarl.launch.scaling.fit import Run, Speed
from scalmarl.launch.sim_tools import ask
from scalmarl.launch.traffic import totals
from scalmarl.protocol.keys import SIM, Kind
from scalmarl.protocol.ledger import CONTROL
from scalmarl.protocol.order import phases
from scalmarl.protocol.plan import Plan

FIRST_STEP_WITHIN_S = 120.0
LOOK_EVERY_S = 0.01
EVERY_EPOCH = 1e6
"""Bounds of a turn (nats) that no step breaks, so that the work of a round is the same in all of them."""
MANY_ROUNDS = 100_000
"""More than are measured: the launch is stopped, not awaited."""
WARM_UP_ROUNDS = 1
"""The first round loads code and makes connections."""


@dataclass(frozen=True)
class Setting:
    """One launch: as on the command line, ``policy_epochs`` and ``critic_epochs`` of the learner, ``rounds`` that are
    measured."""

    agents: int
    kappa: int
    envs: int
    steps: int
    policy_epochs: int
    critic_epochs: int
    rounds: int
    task: str = "cheetahs"

    def _assignments(self) -> dict[str, Any]:
        return {
            "world.task": json.dumps(self.task), "run.agents": self.agents, "run.kappa": self.kappa,
            "world.envs": self.envs, "world.steps": self.steps, "run.rounds": MANY_ROUNDS,
            "learner.policy_epochs": self.policy_epochs, "learner.critic_epochs": self.critic_epochs,
            "learner.kl_min": EVERY_EPOCH, "learner.kl_max": EVERY_EPOCH,
        }  # fmt: skip

    def words(self) -> list[str]:
        """The arguments of ``scalmarl launch``."""
        return [word for name, value in self._assignments().items() for word in ("--set", f"{name}={value}")]

    def plan(self) -> Plan:
        """What such a launch plans, whatever this machine holds. Raises ``UserProblem``."""
        return draw_plan(*resolve(None, tuple(self.words()[1::2]), {})).plan


@dataclass(frozen=True)
class Measured:
    """What a launch of a setting was seen to do. Seconds are per round, medians; ``cpu_*`` are processor seconds per
    round, means (``launcher``: with the fork server); ``pss_*`` are bytes; ``agent_bytes`` is what each interior agent
    sent in each round, every value that occurred; ``asked_again`` are messages per round that ask for a value that is
    late, which every slow round provokes though nothing is lost."""

    setting: Setting
    phases: int
    agent_bytes: list[int]
    sample_s: float
    update_s: float
    wall_s: float
    first_step_s: float
    asked_again: float
    cpu_agents: list[float]
    cpu_sim: float
    cpu_coordinator: float
    cpu_launcher: float
    pss_agents: list[int]
    pss_servers: int
    pss_launcher: int
    pss_all: int

    def to_data(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)

    def as_run(self) -> Run:
        """For the fit."""
        same = {name: getattr(self, name) for name in Run.__dataclass_fields__ if name != "plan"}
        return Run(plan=self.setting.plan(), **same)


def interior(plan: Plan) -> list[int]:
    """The agents with the largest neighbourhood and the largest block: on a path all but those near its ends."""
    size = [(len(plan.neighbours[agent]), plan.task.block_sizes[agent]) for agent in range(plan.agents)]
    return [agent for agent in range(plan.agents) if size[agent] == max(size)]


def measure_physics(task: str, agents: int, copies: int, threads: int, pairs: int) -> Speed:
    """The speed of a task's physics without any process around it."""
    numbers = (str(number) for number in (copies, threads, pairs, agents))
    found = json.loads(ask("speed", "worlds", task, *numbers))
    # The ratio is of pairs measured one after the other: it stands where the speed itself wavers.
    return Speed(agents, copies, threads, found["raw_steps_per_s"], found["ratio"] * found["raw_steps_per_s"])


def measure(setting: Setting) -> Measured:
    """Launch, measure ``rounds`` rounds after the first, and stop. Raises ``TrainingFailed``, ``TimedOut``."""
    try:
        with launched(*setting.words()) as bench:
            return _watch(bench, setting)
    except psutil.NoSuchProcess as gone:
        raise TrainingFailed(
            f"a process of the measured launch is gone ({gone})", "run the same launch by hand to see more"
        ) from None


def _watch(bench: Bench, setting: Setting) -> Measured:
    first_step = _await_first_step(bench)
    plan = read_plan(bench.run)
    bench.wait_for_rounds(WARM_UP_ROUNDS)
    asked = _control_messages(bench, plan)
    begun, began, before = len(read_lines(bench.run.metrics)), time.monotonic(), _processor_seconds(bench)
    bench.wait_for_rounds(begun + setting.rounds)
    lines, took, after = read_lines(bench.run.metrics)[begun:], time.monotonic() - began, _processor_seconds(bench)
    # Looking falls into the middle of rounds, so rounds are counted by the time that passed.
    rounds = took / statistics.fmean(line["wall_s"] for line in lines)
    used = {name: (after[name] - before[name]) / rounds for name in after if name in before}
    asked = _control_messages(bench, plan) - asked
    memory = _memory(bench)
    agents = [f"agent/{agent}" for agent in range(plan.agents)]
    servers = ("sim", "coordinator")
    return Measured(
        setting=setting,
        phases=phases(plan, 0),
        agent_bytes=sorted({line["bytes_agent"][agent] for line in lines for agent in interior(plan)}),
        **{name: statistics.median(line[name] for line in lines) for name in ("sample_s", "update_s", "wall_s")},
        first_step_s=first_step,
        asked_again=asked / rounds,
        cpu_agents=[used[name] for name in agents],
        cpu_sim=used["sim"],
        cpu_coordinator=used["coordinator"],
        cpu_launcher=sum(seconds for name, seconds in used.items() if name not in (*agents, *servers)),
        pss_agents=[memory[name] for name in agents],
        pss_servers=sum(memory[name] for name in servers),
        pss_launcher=sum(size for name, size in memory.items() if name not in (*agents, *servers)),
        pss_all=sum(memory.values()),
    )


def _await_first_step(bench: Bench) -> float:
    """Seconds from the command until the sim server told of the first control step."""
    deadline = time.monotonic() + FIRST_STEP_WITHIN_S
    plan: Plan | None = None
    while time.monotonic() < deadline:
        if bench.process.poll() is not None:
            raise bench.failed()
        if plan is None and bench.run.plan.exists():
            plan = read_plan(bench.run)
        if plan is not None:
            told = totals(bench.run, plan, SIM).get((0, int(Kind.OBSERVATION)))
            if told is not None and told.messages > plan.groups:
                return time.time() - bench.started
        time.sleep(LOOK_EVERY_S)
    raise TimedOut(
        f"the measured launch made no control step in {FIRST_STEP_WITHIN_S:.0f} s",
        "see: scalmarl doctor; use fewer agents",
    )


def _control_messages(bench: Bench, plan: Plan) -> int:
    return sum(
        count.messages
        for process in plan.processes()
        for (_, kind), count in totals(bench.run, plan, process).items()
        if kind == CONTROL
    )


def _processes(bench: Bench) -> dict[str, psutil.Process]:
    """Every process of the launch: by its name in the run, or by its pid (launcher, fork server, resource tracker)."""
    names = {process["pid"]: process["name"] for process in bench.run.read_state()["processes"]}
    return {names.get(process.pid, str(process.pid)): process for process in bench.tree()}


def _processor_seconds(bench: Bench) -> dict[str, float]:
    times = {name: process.cpu_times() for name, process in _processes(bench).items()}
    return {name: time.user + time.system for name, time in times.items()}


def _memory(bench: Bench) -> dict[str, int]:
    """Proportional set size: shared pages are counted once over all."""
    return {name: process.memory_full_info().pss for name, process in _processes(bench).items()}
