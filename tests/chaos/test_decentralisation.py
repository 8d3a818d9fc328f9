"""The proof by a firewall, and partitions by a pulled cable: real processes in network namespaces, as root."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from benchmarks.firewall import prove
from benchmarks.launching import Document
from benchmarks.router import Network, namespaces_of, why_not
from benchmarks.walled_run import Disturbance, Size, cut_off, kill_each_agent, unwalled, wall_for, walled
from scalmarl.launch.errors import MachineNotFit
from scalmarl.launch.places import Place, check_places

ROOT = Path(__file__).parents[2]
SMALL = Size(rounds=8)
MADE_WITHIN_S, GONE_WITHIN_S = 60.0, 40.0
GOES_ON_WITHIN_S = 10.0
"""Measured: about one second; the rest is for a machine that is busy with something else."""

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]


@pytest.fixture(autouse=True)
def _as_root(interruptible: None) -> None:
    reason = why_not()
    if reason is not None:
        pytest.skip(f"no firewall can be built here: {reason}")


def again(*variant: str) -> str:
    return f"repeat it: python -m benchmarks.firewall --rounds {SMALL.rounds} {' '.join(variant)}"


@pytest.mark.parametrize(("variant", "disturb"), [((), None), (("--kill",), kill_each_agent)], ids=["calm", "killed"])
def test_nobody_speaks_beyond_kappa_hops(variant: tuple[str, ...], disturb: Disturbance | None, tmp_path: Path) -> None:
    document = prove(SMALL, tmp_path, disturb)
    assert len(document["walled"]["pairs"]) == 21
    assert [row["pair"] for row in document["walled"]["pairs"] if not row["allowed"]] == [
        ["agent/0", "agent/2"], ["agent/0", "agent/3"], ["agent/0", "agent/4"], ["agent/1", "agent/3"],
        ["agent/1", "agent/4"], ["agent/2", "agent/4"],
    ]  # fmt: skip
    wrong = [verdict for verdict, holds in document["verdicts"].items() if not holds]
    assert not wrong, f"{document}\n{again(*variant)}"
    assert not namespaces_of(os.getpid())


def test_a_pulled_cable_restarts_nobody_and_changes_no_bit(tmp_path: Path) -> None:
    free = unwalled(SMALL, tmp_path / "open")
    with wall_for(SMALL) as wall:
        found: dict[float, Document] = {
            seconds: walled(wall, SMALL, tmp_path / f"cut-{seconds:g}", cut_off(seconds)) for seconds in (5.0, 20.0)
        }
    for seconds, run in found.items():
        repeat = f"{run['disturbance']}; {again('--cut', f'{seconds:g}')}"
        assert run["digest"] == free["digest"], repeat
        assert run["restarts"] == 0, repeat
        assert not any(row["seen"] for row in run["pairs"] if not row["allowed"]), repeat
        assert run["disturbance"]["goes_on_s"] < GOES_ON_WITHIN_S, repeat
        print(run["disturbance"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_an_interrupted_proof_leaves_nothing_behind(number: signal.Signals, short_directory: str) -> None:
    proof = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.firewall", "--rounds", "1000"], cwd=ROOT, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": short_directory},
    )  # fmt: skip
    try:
        deadline = time.monotonic() + MADE_WITHIN_S
        family: list[psutil.Process] = []
        while len(family) < 9 and time.monotonic() < deadline:
            family = psutil.Process(proof.pid).children(recursive=True)
            time.sleep(0.05)
        assert len(namespaces_of(proof.pid)) == 8, "seven processes and a router"
        proof.send_signal(number)
        words = proof.communicate(timeout=GONE_WITHIN_S)
    finally:
        proof.kill()
        proof.wait()
        assert not psutil.wait_procs(family, timeout=GONE_WITHIN_S)[1], "no process is left, whatever ended the proof"
        left = namespaces_of(proof.pid)
        for name in left:
            subprocess.run(("ip", "netns", "del", name), check=True)
    if number != signal.SIGKILL:
        assert proof.returncode == 128 + number, words
        assert not left
        assert not os.listdir(short_directory)


def test_a_namespace_without_an_address_is_refused_before_the_start() -> None:
    with Network(0) as network:
        check_places({0: Place("127.0.0.1", network.router)})
        with pytest.raises(
            MachineNotFit, match=r"agent/0 cannot bind to 10\.77\.1\.2 in the network namespace"
        ) as caught:
            check_places({0: Place("10.77.1.2", network.router)})
        assert "ip address" in caught.value.hint
