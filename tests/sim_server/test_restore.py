"""What of MuJoCo's state a snapshot must hold: fifty of them under three solvers, restored anywhere, go on to the bit.

The control takes less (``FULLPHYSICS``, which leaves out the solver's warm start) and must be seen to go astray; it
guards the test against comparing what never moved.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest
from numpy.typing import NDArray

from scalmarl.sim_server.tasks import describe
from scalmarl.sim_server.world import World

Array = NDArray[Any]
SNAPSHOTS, APART, ONWARD = 50, 4, 40
WHOLE, LESS = mujoco.mjtState.mjSTATE_INTEGRATION, mujoco.mjtState.mjSTATE_FULLPHYSICS
SOLVERS = {
    "newton": mujoco.mjtSolver.mjSOL_NEWTON,
    "cg": mujoco.mjtSolver.mjSOL_CG,
    "pgs": mujoco.mjtSolver.mjSOL_PGS,
}


def chain(solver: str) -> mujoco.MjModel:
    """A chain of four ants on the ground: many contacts, in the published physics."""
    model = World(
        describe("safe-manyant:4x1", None, physics="parity"), copies=1, groups=1, seed=0, threads=1
    ).scene.model
    model.opt.solver = SOLVERS[solver]
    return model


def controls(model: mujoco.MjModel) -> Array:
    """One row for every step, so that whoever restores a snapshot goes on with the same ones."""
    return np.random.default_rng(7).uniform(-1.0, 1.0, (SNAPSHOTS * APART + ONWARD, model.nu))


def state_of(model: mujoco.MjModel, data: mujoco.MjData, what: int) -> Array:
    state = np.empty(mujoco.mj_stateSize(model, what))
    mujoco.mj_getState(model, data, state, what)
    return state


def go_on(model: mujoco.MjModel, data: mujoco.MjData, at: int, steps: int = ONWARD) -> bytes:
    for control in controls(model)[at : at + steps]:
        data.ctrl[:] = control
        mujoco.mj_step(model, data)
    return data.qpos.tobytes() + data.qvel.tobytes()


def restored(model: mujoco.MjModel, data: mujoco.MjData, state: Array, what: int, at: int) -> bytes:
    mujoco.mj_setState(model, data, state, what)
    return go_on(model, data, at)


def snapshots(model: mujoco.MjModel) -> list[tuple[int, Array, Array, bytes]]:
    """(step, whole state, less than the whole, what the run itself came to) of one run."""
    data = mujoco.MjData(model)
    found = []
    for number in range(SNAPSHOTS):
        at = number * APART
        whole, less = state_of(model, data, WHOLE), state_of(model, data, LESS)
        branch = mujoco.MjData(model)
        mujoco.mj_copyData(branch, model, data)
        found.append((at, whole, less, go_on(model, branch, at)))
        go_on(model, data, at, APART)
    return found


@pytest.mark.parametrize("solver", SOLVERS)
def test_fifty_snapshots_go_on_to_the_bit_wherever_they_are_restored(solver: str, tmp_path: Path) -> None:
    model = chain(solver)
    taken = snapshots(model)
    dirty = mujoco.MjData(model)
    go_on(model, dirty, 0, 33)
    for at, whole, _, end in taken:
        assert restored(model, mujoco.MjData(model), whole, WHOLE, at) == end, f"fresh, step {at}"
        assert restored(model, dirty, whole, WHOLE, at) == end, f"dirty, step {at}"
    np.save(tmp_path / "states.npy", np.array([whole for _, whole, _, _ in taken]))
    command = [sys.executable, __file__, solver, str(tmp_path / "states.npy")]
    elsewhere = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout.split()
    assert elsewhere == [end.hex() for *_, end in taken], "another process"


@pytest.mark.parametrize("solver", ["newton", "cg"])
def test_without_the_warm_start_snapshots_go_astray(solver: str) -> None:
    model = chain(solver)
    astray = sum(restored(model, mujoco.MjData(model), less, LESS, at) != end for at, _, less, end in snapshots(model))
    assert astray > SNAPSHOTS // 4


if __name__ == "__main__":
    here = chain(sys.argv[1])
    for number, kept in enumerate(np.load(sys.argv[2])):
        print(restored(here, mujoco.MjData(here), kept, WHOLE, number * APART).hex())
