"""The picture of a task, drawn by a process of its own, and where it goes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from scalmarl.launch.errors import MachineNotFit, UsageProblem, UserProblem
from scalmarl.launch.sim_tools import GRAPHICS_CURE, graphics_to_try, last_words, run_tool
from scalmarl.protocol.task import TaskSpec

PICTURE_WITHIN_S = 60.0


def write_picture(path: Path, content: bytes) -> None:
    """Raises ``UsageProblem`` where it cannot be written."""
    try:
        path.write_bytes(content)
    except OSError as error:
        raise UsageProblem(
            f"cannot write {path}: {error.strerror}", "give --picture a path that you can write"
        ) from None


def picture_of(spec: TaskSpec) -> str:
    """Draw it where nobody said anything about it, if that can be done and costs nobody a file; what came of it."""
    if spec.maker:
        return "none, a world from outside draws itself"
    path = Path(f"{spec.name}-{(spec.partition or str(spec.agents)).replace('|', '-')}.png")
    if path.exists():
        return f"none, {path} is there already; --picture PATH draws one"
    try:
        write_picture(path, draw(spec))
    except UserProblem as problem:
        return f"none, {problem.what}; {problem.hint}"
    return str(path)


def draw(spec: TaskSpec) -> bytes:
    """A PNG, by a process of its own, with the first graphics library that works. Raises ``MachineNotFit``."""
    about = json.dumps(spec.to_data()).encode()
    last = ""
    for graphics in graphics_to_try():
        try:
            done = run_tool("picture", (), about, graphics=graphics, within_s=PICTURE_WITHIN_S)
        except subprocess.TimeoutExpired:
            last = f"no answer within {PICTURE_WITHIN_S:.0f} s"
            continue
        if done.returncode == 0:
            return done.stdout
        last = last_words(done)
    raise MachineNotFit(
        f"no graphics library works here (the last said: {last})", f"{GRAPHICS_CURE}; and the extra 'plot'"
    )
