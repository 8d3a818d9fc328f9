"""``scalmarl doctor``: whether this machine fits, and how to mend what does not. Every line is tried, not guessed."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import psutil

from scalmarl.launch.errors import Exit
from scalmarl.launch.planning import AGENT_BYTES, BASE_BYTES
from scalmarl.launch.report_problem import guarded
from scalmarl.launch.run_directory import SCHEMA

LEAST_DISK = 1 << 30
FILES_PER_PROCESS = 64


@dataclass(frozen=True)
class Finding:
    """One line: ok, warn or fail, with the cure."""

    verdict: str
    what: str
    cure: str = ""


Check = Callable[[int], Iterator[Finding]]


def _platform(agents: int) -> Iterator[Finding]:
    fits = sys.platform.startswith("linux") and hasattr(os, "pidfd_open")
    if fits:
        os.close(os.pidfd_open(os.getpid()))
    yield Finding("ok" if fits else "fail", f"platform {sys.platform}, pidfd", "" if fits else "use Linux 5.3 or newer")
    new_enough = sys.version_info >= (3, 11)
    yield Finding("ok" if new_enough else "fail", f"Python {sys.version.split()[0]}", "install Python 3.11 or newer")


def _imports(agents: int) -> Iterator[Finding]:
    for module, package in (
        ("torch", "torch"),
        ("mujoco.batch", "mujoco"),
        ("zmq", "pyzmq"),
        ("safetensors", "safetensors"),
    ):
        environment = {**os.environ, "MUJOCO_GL": "disabled"}
        words = subprocess.run(
            [sys.executable, "-c", f"import {module}"], capture_output=True, text=True, env=environment, check=False
        )
        last = words.stderr.strip().splitlines()[-1:] or [""]
        good = words.returncode == 0
        yield Finding(
            "ok" if good else "fail", f"import {module} {last[0]}".rstrip(), f"pip install -c constraints.txt {package}"
        )


def _libzmq(agents: int) -> Iterator[Finding]:
    from scalmarl.protocol.sockets import OLDEST_LIBZMQ, libzmq_version

    found = libzmq_version()
    good = found >= OLDEST_LIBZMQ
    yield Finding("ok" if good else "fail", f"libzmq {'.'.join(map(str, found))}", "pip install 'pyzmq>=26'")


def _cores(agents: int) -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    yield Finding("ok" if cores >= 2 else "warn", f"{cores} cores", "two or more overlap physics and learning")
    yield Finding(
        "ok" if load < cores else "warn", f"load {load:.1f}", "other work slows the run down; it changes no bit"
    )


def _memory(agents: int) -> Iterator[Finding]:
    needed, there = BASE_BYTES + agents * AGENT_BYTES, psutil.virtual_memory().available
    text = f"{there / 2**30:.1f} GiB free, {agents} agents need about {needed / 2**30:.1f}"
    yield Finding("ok" if needed < there else "fail", text, "close other programs, or lower --agents")


def _disk(agents: int) -> Iterator[Finding]:
    place = Path.cwd()
    free = shutil.disk_usage(place).free
    writable = os.access(place, os.W_OK)
    yield Finding(
        "ok" if writable else "fail",
        f"run directories go to {place / 'runs'}",
        "change to a directory you can write to",
    )
    yield Finding(
        "ok" if free > LEAST_DISK else "warn",
        f"{free / 2**30:.1f} GiB of disk free",
        "free some, or use --run elsewhere",
    )


def _files(agents: int) -> Iterator[Finding]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = FILES_PER_PROCESS + 6 * agents
    cure = f"ulimit -n {needed}" if hard == resource.RLIM_INFINITY or hard >= needed else "ask for a higher hard limit"
    yield Finding("ok" if soft >= needed else "fail", f"{soft} open files allowed, {agents} agents need {needed}", cure)


def _sockets(agents: int) -> Iterator[Finding]:
    from scalmarl.launch.endpoint_book import socket_path_bytes
    from scalmarl.protocol.sockets import longest_ipc_path

    longest = socket_path_bytes(agents)
    good = longest <= longest_ipc_path()
    yield Finding(
        "ok" if good else "fail",
        f"socket paths of {longest} bytes of {longest_ipc_path()}",
        "set TMPDIR to a shorter path",
    )


def _graphics(agents: int) -> Iterator[Finding]:
    name = os.environ.get("MUJOCO_GL", "")
    yield Finding("ok", f"no graphics library is needed (MUJOCO_GL is {name or 'unset'}; physics runs with 'disabled')")


CHECKS: tuple[Check, ...] = (
    _platform, _imports, _libzmq, _cores, _memory, _disk, _files, _sockets, _graphics,
)  # fmt: skip


@click.command("doctor")
@click.option("--agents", type=click.IntRange(1), default=8, show_default=True, help="For how many agents.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@guarded
def doctor_command(agents: int, as_json: bool) -> None:
    """Does this machine fit, and how to mend what does not."""
    findings = [finding for check in CHECKS for finding in check(agents)]
    if as_json:
        fit = all(finding.verdict != "fail" for finding in findings)
        click.echo(json.dumps({"schema": SCHEMA, "fit": fit, "findings": [asdict(finding) for finding in findings]}))
    for finding in findings if not as_json else ():
        cure = f"  -> {finding.cure}" if finding.verdict != "ok" and finding.cure else ""
        click.echo(f"{finding.verdict:<5}{finding.what}{cure}")
    if any(finding.verdict == "fail" for finding in findings):
        sys.exit(int(Exit.MACHINE_NOT_FIT))
