"""What worlds from outside are called. Pure."""

from __future__ import annotations

import re

SHORTCUTS = {"mamujoco": "scalmarl.sim_server.mamujoco"}
"""Short names: modules of ours whose ``make`` takes what stands after the colon."""


def may_be_foreign(task: str) -> bool:
    """Whether a name reads as a world from outside: ``module:function``, or ``mamujoco:SCENARIO-PARTITION``."""
    return task.partition(":")[0] in SHORTCUTS or re.fullmatch(r"[^\W\d][\w.]*:[^\W\d]\w*", task) is not None
