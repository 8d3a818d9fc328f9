"""The velocity cost of safety-gymnasium: 1 while a robot is faster than its threshold. Pure; no MuJoCo.

Source: the multi-agent velocity tasks of Safety-Gymnasium (Ji et al., 2023). A threshold is half the speed of a
converged PPO that knows no cost, for one robot and one partition. What a robot's speed is, its scene says
(``Scene.speed``); it is compared in ``Scene.too_fast``.
"""

from __future__ import annotations

VELOCITY = "velocity"
"""The cost mode, and the name of the cost."""

THRESHOLDS = {
    "safe-ant": {"2x4": 2.522, "4x2": 2.418},
    "safe-halfcheetah": {"6x1": 2.932, "2x3": 3.227},
    "safe-hopper": {"3x1": 0.9613},
    "safe-humanoid": {"9|8": 0.58},
    "safe-swimmer": {"2x1": 0.04891},
    "safe-walker2d": {"2x3": 1.641},
}
"""Task, partition: m/s."""
LENDERS = {"safe-manyant": "safe-ant", "safe-coupled-halfcheetah": "safe-halfcheetah", "cheetahs": "safe-halfcheetah"}
"""Tasks that safety-gymnasium does not have, and the one whose first threshold they borrow."""


def threshold_of(task: str, partition: str) -> float:
    """The speed above which it costs (m/s); as in the source, a robot's first threshold where its partition has
    none."""
    known = THRESHOLDS[LENDERS.get(task, task)]
    return known.get(partition) or next(iter(known.values()))


def velocity_note(task: str, partition: str) -> str:
    """Where the threshold of a task comes from."""
    lender = LENDERS.get(task, task)
    first = next(iter(THRESHOLDS[lender]))
    speed = f"a speed above {threshold_of(task, partition):g} m/s costs"
    if lender != task:
        return f"{speed}: safety-gymnasium has no {task}; this is its first threshold for {lender}, that of {first}"
    if partition not in THRESHOLDS[lender]:
        return f"{speed}: safety-gymnasium has none for {partition}; this is its first for the robot, that of {first}"
    return f"{speed}: safety-gymnasium's threshold for the robot and partition"
