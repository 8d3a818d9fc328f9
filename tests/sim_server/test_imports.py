"""What processes load, in fresh interpreters: no process carries a library that is another's business."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

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
