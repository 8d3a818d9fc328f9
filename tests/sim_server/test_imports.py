"""What processes load, in fresh interpreters: no process carries a library that is another's business."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from scalmarl.protocol.lifeline import LAUNCHER_VARIABLE

LOADED = """
import importlib, json, sys
for name in sys.argv[1].split():
    importlib.import_module(name)
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


@pytest.mark.parametrize(
    ("modules", "needed", "forbidden"),
    [
        (
            "scalmarl.sim_server.process scalmarl.sim_server.world", {"mujoco", "numpy"},
            {"torch", "networkx", "pydantic", "rich", "click"},
        ),
        ("scalmarl.coordinator.process", {"numpy"}, {"torch", "mujoco", "networkx", "pydantic", "rich", "click"}),
        (
            "scalmarl.launch.__main__ scalmarl.launch.supervisor scalmarl.launch.config scalmarl.launch.display",
            {"numpy", "pydantic"},
            {"torch", "mujoco"},
        ),
        ("scalmarl.agents.body", {"numpy"}, {"torch", "mujoco"}),
    ],
    ids=["sim server", "coordinator", "supervisor", "agents' conversation"],
)  # fmt: skip
def test_a_process_loads_no_more_than_its_business(modules: str, needed: set[str], forbidden: set[str]) -> None:
    done = subprocess.run([sys.executable, "-c", LOADED, modules], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert needed <= loaded
    assert not forbidden & loaded


@pytest.mark.parametrize(
    ("start", "heavy"),
    [
        (("-c", "import scalmarl.agents.preload"), "torch"),
        (("-m", "scalmarl.sim_server", "99", "1"), "mujoco"),
        (("-m", "scalmarl.coordinator", "99", "1"), "numpy"),
    ],
    ids=["fork server", "sim server", "coordinator"],
)
def test_a_process_whose_launcher_is_gone_ends_before_its_long_imports(start: tuple[str, ...], heavy: str) -> None:
    """Process 1 is nobody's launcher here: what is started is an orphan from its first moment."""
    environment = {**os.environ, LAUNCHER_VARIABLE: "1"}
    command = [sys.executable, "-X", "importtime", *start]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=True)
    assert "scalmarl.protocol.lifeline" in done.stderr
    assert heavy not in done.stderr
