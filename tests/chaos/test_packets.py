"""Packets that are lost, doubled, late and out of order below TCP: real processes in network namespaces, as root.

Acceptance test 13, once more: ``test_links.py`` does it to messages, here it is done to what the kernel sends. A router
in this process draws the fate of every packet; the kernels of both ends must have noticed, and no bit may change.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks.launching import Launch
from benchmarks.packets import LossyNetwork, why_no_tun
from benchmarks.router import namespaces_of, why_not
from benchmarks.walled_run import Size, unwalled
from scalmarl.launch.places import inside_namespace
from scalmarl.launch.run_directory import RunDirectory, read_plan
from scalmarl.launch.traffic import report

ROOT = Path(__file__).parents[2]
SMALL = Size(agents=4, rounds=3, envs=4, steps=32)
PROCESSES = SMALL.agents + 2
MADE_WITHIN_S, GONE_WITHIN_S = 60.0, 40.0

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]


@pytest.fixture(autouse=True)
def _as_root(interruptible: None) -> None:
    reason = why_not() or why_no_tun()
    if reason is not None:
        pytest.skip(f"no packet can be lost here: {reason}")


def ledger(path: Path) -> tuple[Any, int]:
    """First sendings, and the bytes of repeats."""
    run = RunDirectory(path)
    told = report(run, read_plan(run))
    repeats = sum(row.pop("repeat_bytes") for row in told["pairs"])
    return (told["pairs"], told["neighbourhoods"]), repeats


def tcp_counters(network: LossyNetwork) -> Counter[str]:
    """What the kernel counted in all namespaces together, by the names of /proc/net/snmp and netstat."""
    found: Counter[str] = Counter()
    for number in range(1, network.size + 1):
        for file in ("snmp", "netstat"):
            path = Path("/proc/thread-self/net") / file
            rows = inside_namespace(network.namespace(number), path.read_text).splitlines()
            for names, values in zip(rows[::2], rows[1::2]):
                found.update(dict(zip(names.split()[1:], map(int, values.split()[1:]))))
    return found


def test_packets_that_are_lost_doubled_and_overtaken_change_no_bit(campaign: Any, tmp_path: Path) -> None:
    began = time.monotonic()
    with LossyNetwork(PROCESSES, campaign.seed) as network:
        with Launch(tmp_path / "lossy", [*SMALL.arguments(), *network.settings()]) as launch:
            found, restarts = launch.finish(), launch.restarts()
        fates, kernel = network.fates, tcp_counters(network)
    campaign.say(f"{SMALL.rounds} rounds in {time.monotonic() - began:.0f} s: {fates}")
    campaign.say({name: kernel[name] for name in ("OutSegs", "RetransSegs", "TCPOFOQueue", "TCPDSACKOldSent")})
    sent, repeats = ledger(tmp_path / "lossy")
    campaign.say(f"repeats of the protocol: {repeats:,} bytes")
    assert found == unwalled(SMALL, tmp_path / "calm")["digest"]
    assert restarts == 0
    assert sent == ledger(tmp_path / "calm")[0]
    assert min(fates.lost, fates.doubled, fates.overtaken, repeats) > 0
    # The kernels had to send again, to wait for what was overtaken, and to refuse what they had.
    assert min(kernel["RetransSegs"], kernel["TCPOFOQueue"], kernel["TCPDSACKOldSent"]) > 0
    assert not namespaces_of(os.getpid())
    assert "packet-router" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_an_interrupted_run_leaves_nothing_behind(number: signal.Signals, short_directory: str) -> None:
    test = f"{__file__}::{test_packets_that_are_lost_doubled_and_overtaken_change_no_bit.__name__}"
    words = ("-m", "pytest", "-m", "chaos", "-p", "no:cacheprovider", "--basetemp", f"{short_directory}/b", test)
    trial = subprocess.Popen(
        [sys.executable, *words], cwd=ROOT, start_new_session=True, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": short_directory},
    )  # fmt: skip
    family: list[psutil.Process] = []
    try:
        deadline = time.monotonic() + MADE_WITHIN_S
        while time.monotonic() < deadline and not (len(namespaces_of(trial.pid)) == PROCESSES and len(family) > 3):
            family = psutil.Process(trial.pid).children(recursive=True)
            time.sleep(0.05)
        assert len(namespaces_of(trial.pid)) == PROCESSES
        trial.send_signal(number)
        said, _ = trial.communicate(timeout=GONE_WITHIN_S)
    finally:
        trial.kill()
        trial.wait()
        assert not psutil.wait_procs(family, timeout=GONE_WITHIN_S)[1], "no process is left, whatever ended the test"
        left = namespaces_of(trial.pid)
        for name in left:
            subprocess.run(("ip", "netns", "del", name), check=True)
    if number != signal.SIGKILL:
        assert trial.returncode == pytest.ExitCode.INTERRUPTED, said
        assert not left
