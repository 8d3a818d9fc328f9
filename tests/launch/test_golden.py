"""A recorded run, digest by digest: a change of bits shows here, with the round and process that differ first.

Digests are recorded per kind of processor and versions of what computes, because bits hold for those alone. If a change
is meant to change bits, or to record this machine's: ``python tests/launch/test_golden.py``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).with_name("golden.json")
RUN = ("--agents", "3", "--kappa", "1", "--envs", "4", "--steps", "24", "--rounds", "40")
SHOWN = 16
"""Digits of a digest that are kept: enough to tell, few enough to read."""


def machine() -> str:
    """What the bits of a run depend on beside the code: processor and versions."""
    import torch

    from scalmarl.launch.versions import versions

    words = Path("/proc/cpuinfo").read_text()
    vendor = words.partition("vendor_id")[2].partition("\n")[0].strip(" \t:") or "unknown"
    there = versions()
    packages = " ".join(f"{name} {there[name]}" for name in ("torch", "numpy", "mujoco"))
    return f"{there['machine']} {vendor} {torch.backends.cpu.get_cpu_capability()}, {packages}"


def shortened(commits: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{process: digest[:SHOWN] for process, digest in row.items()} for row in commits]


def test_a_run_is_the_recorded_one_round_by_round(calm: Any, difference: Any) -> None:
    golden: dict[str, list[dict[str, str]]] = json.loads(PAGE.read_text())
    if machine() not in golden:
        pytest.skip(f"no digests are recorded for {machine()}; record them: python tests/launch/test_golden.py")
    found = shortened(calm.commits())
    assert len(found) == len(golden[machine()])
    first = difference(found, golden[machine()])
    assert not first, f"{first}; if the bits were meant to change: python tests/launch/test_golden.py"


def record() -> None:
    """Run it, and write its digests down for this machine; those of other machines stay only if they may still hold."""
    from scalmarl.coordinator.body import read_commit_record
    from scalmarl.coordinator.commit_log import log_path, read_commits
    from scalmarl.protocol.keys import process_name

    with tempfile.TemporaryDirectory() as directory:
        run = Path(directory) / "run"
        subprocess.run([sys.executable, "-m", "scalmarl", "launch", *RUN, "--run", str(run)], check=True)
        commits = [
            {process_name(process): digest.hex() for process, digest in read_commit_record(row).items()}
            for _, row in read_commits(log_path(run))[0]
        ]
    golden = json.loads(PAGE.read_text()) if PAGE.exists() else {}
    here = shortened(commits)
    if golden.get(machine(), here) != here:
        # The code computes other bits now, so what other machines recorded is of other code.
        golden = {}
    golden[machine()] = here
    rows = {name: [json.dumps(row) for row in golden[name]] for name in sorted(golden)}
    blocks = [f" {json.dumps(name)}: [\n  " + ",\n  ".join(rows[name]) + "\n ]" for name in rows]
    PAGE.write_text("{\n" + ",\n".join(blocks) + "\n}\n")
    print(f"recorded {len(commits)} rounds for {machine()} in {PAGE}")


if __name__ == "__main__":
    record()
