"""``python -m scalmarl.launch.bench.mappo_l_loop WORKERS TORCH_THREADS ROUNDS < PLAN_JSON``: the centralised MAPPO-L.

One process holds all agents, as the field has it; worlds are forked and asked through pipes. Prints what every round
took, as JSON (``agents.centralised.trainer.Took``); making the worlds is not counted.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from scalmarl.agents.centralised.trainer import CentralisedTrainer
from scalmarl.protocol.lifeline import die_with_launcher
from scalmarl.protocol.plan import Plan
from scalmarl.sim_server.forked_worlds import ForkedWorlds


def main(workers: int, torch_threads: int, rounds: int) -> None:
    """See the module."""
    plan = Plan.from_data(json.load(sys.stdin))
    with ForkedWorlds(plan.task, copies=plan.copies, workers=workers, seed=plan.seed) as worlds:
        # After the forks: a process that has used two threads of OpenMP must not be forked.
        trainer = CentralisedTrainer(plan, worlds, torch_threads)
        print(json.dumps([asdict(trainer.round()) for _ in range(rounds)]))


if __name__ == "__main__":
    die_with_launcher()
    main(*(int(word) for word in sys.argv[1:]))
