"""``python -m scalmarl.sim_server.camera RUN_DIRECTORY``: pictures of a run's world, one after the other.

Reads lines on standard input, each a round whose state the sim server has kept. Answers each with a line
``{"bytes":n}`` and n bytes of JPEG, or with a line ``{"error":..}``. It steps nothing: what it shows is the state that
the run itself went on from. It needs a graphics library (``MUJOCO_GL`` chooses one) and Pillow.
"""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import mujoco
import numpy as np
from PIL import Image

from scalmarl.protocol.errors import DamagedFile
from scalmarl.protocol.keys import SIM
from scalmarl.protocol.lifeline import die_with_launcher
from scalmarl.protocol.round_files import process_directory, read_round_file, round_path
from scalmarl.protocol.shell import read_plan
from scalmarl.sim_server.view import View
from scalmarl.sim_server.world import make_scene

WIDTH, HEIGHT, QUALITY = 640, 360, 80
COPY = 0
"""Of the world's copies, the one that is shown."""
_STATE = mujoco.mjtState.mjSTATE_INTEGRATION


class Camera:
    """A scene with its renderer. Raises what MuJoCo raises where there is no graphics library."""

    def __init__(self, run_directory: Path) -> None:
        self._directory = process_directory(run_directory, SIM)
        self._plan = plan = read_plan(run_directory)
        self._model = make_scene(plan.task).model
        self._data = mujoco.MjData(self._model)
        self._view = View(self._model, plan.task, WIDTH, HEIGHT)

    def picture(self, round: int) -> bytes:
        """A JPEG of the state at the start of a round. Raises ``DamagedFile``, ``OSError``, and ``ValueError`` for a
        state of another model."""
        path = round_path(self._directory, round)
        if not path.exists():
            path = round_path(self._directory / "archive", round)
        with np.load(io.BytesIO(read_round_file(path, self._plan, SIM, round)), allow_pickle=False) as arrays:
            state = arrays["state"][COPY]
        if len(state) != mujoco.mj_stateSize(self._model, _STATE):
            raise ValueError("the saved world is of another model or MuJoCo; install the versions in run.json")
        mujoco.mj_setState(self._model, self._data, state, _STATE)
        mujoco.mj_forward(self._model, self._data)
        self._view.look_at(*self._view.box(self._data))
        file = io.BytesIO()
        Image.fromarray(self._view.draw(self._data)).save(file, format="JPEG", quality=QUALITY)
        return file.getvalue()

    def close(self) -> None:
        """Give the renderer back."""
        self._view.close()


def main() -> None:
    """See the module."""
    camera = Camera(Path(sys.argv[1]))
    out = sys.stdout.buffer
    try:
        for line in sys.stdin:
            try:
                picture = camera.picture(int(line))
                out.write(json.dumps({"bytes": len(picture)}).encode() + b"\n" + picture)
            except (DamagedFile, OSError, ValueError, KeyError) as error:
                out.write(json.dumps({"error": str(error)}).encode() + b"\n")
            out.flush()
    finally:
        camera.close()


if __name__ == "__main__":
    die_with_launcher()
    # The run that is looked at goes before.
    os.nice(19)
    main()
