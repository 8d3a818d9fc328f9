"""``scalmarl bench web``: what a page that is looked at costs the run that it shows.

One default launch; blocks of rounds in turn without and with a reader on the page's stream, so that both sides meet the
same machine. The server's own processor time stands beside the ratio of wall times: it is the whole of what the page
takes, and no other work on the machine moves it. The browser is the reader's own and not counted.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import psutil

from scalmarl.launch.bench.live import Bench, Say, launched
from scalmarl.launch.errors import TrainingFailed
from scalmarl.launch.records import read_lines
from scalmarl.launch.run_directory import SCHEMA
from scalmarl.protocol.lifeline import end_with

WARM_UP_ROUNDS = 3
CONNECT_WITHIN_S = 30.0


def web(agents: int, kappa: int, rounds: int, pairs: int, say: Say) -> dict[str, Any]:
    """Per pair of blocks of ``rounds`` rounds: seconds of a round with a reader over those without, and the share of
    all cores that the server and the launcher's answers took. Raises ``TrainingFailed``."""
    cores = len(os.sched_getaffinity(0))
    # The first round of a block began before it and is left out.
    block = rounds + 1
    last = WARM_UP_ROUNDS + 2 * pairs * block
    ratios, shares = [], []
    with (
        launched("--agents", str(agents), "--kappa", str(kappa), "--rounds", str(last + 10)) as bench,
        _page(bench) as page,
    ):
        server, port = page
        bench.wait_for_rounds(WARM_UP_ROUNDS)
        for pair in range(pairs):
            begin = WARM_UP_ROUNDS + 2 * pair * block
            bench.wait_for_rounds(begin + block)
            spent, began = sum(server.cpu_times()[:2]), time.monotonic()
            with _reader(port):
                bench.wait_for_rounds(begin + 2 * block)
                share = (sum(server.cpu_times()[:2]) - spent) / (cores * (time.monotonic() - began))
            without, with_page = (_round_s(bench, begin + at * block + 1, rounds) for at in (0, 1))
            ratios.append(with_page / without)
            shares.append(share)
            figures = f"{without:.3f} s a round, {with_page:.3f} s with a page"
            say(f"pair {pair + 1}: {figures}; server {100 * share:.2f} % of {cores} cores")
    return {
        "schema": SCHEMA, "agents": agents, "cores": cores, "rounds": rounds,
        "slower_share": statistics.median(ratios) - 1.0, "server_share": statistics.median(shares),
        "ratios": ratios, "shares": shares,
    }  # fmt: skip


def _round_s(bench: Bench, first: int, rounds: int) -> float:
    lines = read_lines(bench.run.metrics)[first : first + rounds]
    return float(statistics.median(line["wall_s"] for line in lines))


@contextlib.contextmanager
def _page(bench: Bench) -> Iterator[tuple[psutil.Process, int]]:
    """The server as a user starts it, and its port."""
    bench.wait_for_rounds(1)
    server = subprocess.Popen(
        [sys.executable, "-m", "scalmarl", "dash", "--read-only", "--run", str(bench.run.path)], stdout=subprocess.PIPE,
        preexec_fn=partial(end_with, os.getpid()),
    )  # fmt: skip
    try:
        assert server.stdout is not None
        words = server.stdout.readline().decode().split()
        address = next((word for word in words if word.startswith("http://")), None)
        if address is None:
            raise TrainingFailed("the page's server did not start", "see: scalmarl dash")
        yield psutil.Process(server.pid), int(address.rstrip("/").rpartition(":")[2])
    finally:
        server.terminate()
        server.communicate()


@contextlib.contextmanager
def _reader(port: int) -> Iterator[None]:
    """Somebody who looks at the page: takes all that the stream tells."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=CONNECT_WITHIN_S)
    connection.request("GET", "/api/stream")
    answer = connection.getresponse()
    looking = threading.Event()
    looking.set()

    def read() -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            while looking.is_set() and answer.readline():
                pass

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield
    finally:
        looking.clear()
        thread.join(CONNECT_WITHIN_S)
        answer.close()
        connection.close()
