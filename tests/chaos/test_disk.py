"""Damaged, foreign and lost round files of a live run, and a full disk."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scalmarl.protocol.round_files import round_path

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]
ROUNDS = 6
HURT = [("agent/1", "agents/001"), ("sim", "sim")]
Where = tuple[str, str]


def again(start: Any, launch: Any, *more: str) -> Any:
    return start(launch.path.name, str(launch.path), *more, command=("resume",), directory=launch.path.parent)


@pytest.mark.parametrize("how", ["flip", "cut", "empty"])
@pytest.mark.parametrize("where", HURT, ids=lambda where: where[0])
def test_a_damaged_newest_file_is_written_anew_while_the_older_is_kept(
    where: Where, how: str, start: Any, small: Any, tmp_path: Path, campaign: Any, check_bits: Any
) -> None:
    """The file is hurt between its writing and the commit, and its writer dies with it."""
    process, directory = where
    round = campaign.draw.randrange(1, ROUNDS - 1)
    name = f"newest-{how}"
    file = round_path(tmp_path / name / directory, round + 1)
    hurt = {"do": "damage", "how": how, "file": str(file), "process": process, "place": "after checkpoint"}
    launch = start(name, *small, "--rounds", str(ROUNDS), plant=[{**hurt, "round": round}], directory=tmp_path)
    assert launch.end() == 0, launch.words
    journal = launch.journal()
    assert [line["round"] for line in journal if "planting" in line] == [round]
    assert [line["begins"] for line in journal if line.get("process") == process and "begins" in line] == [0, round]
    check_bits(launch, ROUNDS)


@pytest.mark.parametrize("how", ["flip", "cut", "empty", "another run's"])
@pytest.mark.parametrize("where", HURT, ids=lambda where: where[0])
def test_the_only_file_damaged_stops_the_run_and_the_archive_mends_it(
    where: Where, how: str, start: Any, endless: Any, scalmarl: Any, tmp_path: Path, campaign: Any, check_bits: Any
) -> None:
    """The run waits for an agent that is held down, so that every other process holds one file; one is hurt."""
    process, directory = where
    name = f"only-{how.replace(' ', '-').replace(chr(39), '')}"
    launch = start(name, *endless, directory=tmp_path)
    launch.wait_for_round(2)
    run = ("--run", str(launch.path))
    assert scalmarl("kill", "3", *run).returncode == 0
    launch.wait_until(lambda state: any(p["name"] == "agent/3" and p["state"] == "down" for p in state["processes"]))
    kept = sorted((launch.path / directory).glob("*.round"))
    campaign.say(f"{how}: {kept}")
    for file in kept:
        hurt(file, how, tmp_path)
    os.kill(launch.pid_of(process), 9)
    if process == "sim":
        # It begins once it can reach every agent; agent 1 does not need agent 3.
        assert scalmarl("restart", "3", *run).returncode == 0
    assert launch.end() == 1, launch.words
    assert process in launch.words
    assert "crashed 3 times" in launch.words
    assert str(kept[0]) in launch.words.replace("\n", ""), "the file is named"
    refused = scalmarl("resume", str(launch.path))
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    back = refused.stderr.rpartition("--from-round")[2].split()[0]
    mended = again(start, launch, "--from-round", back, "--rounds", str(int(back) + ROUNDS))
    assert mended.end() == 0, mended.words
    check_bits(mended, int(back) + ROUNDS)


def hurt(file: Path, how: str, tmp_path: Path) -> None:
    data = bytearray(file.read_bytes())
    if how == "flip":
        data[len(data) // 2] ^= 1
    elif how == "cut":
        del data[len(data) // 2 :]
    elif how == "empty":
        data.clear()
    else:
        # A sound file of the same process and round of another run of the same configuration.
        data = bytearray(foreign(file, data))
    file.write_bytes(data)


def foreign(file: Path, data: bytes) -> bytes:
    from dataclasses import replace

    from scalmarl.protocol.keys import SIM
    from scalmarl.protocol.round_files import frame_round_file, read_round_file
    from scalmarl.protocol.shell import read_plan

    run = next(parent for parent in file.parents if (parent / "plan.json").exists())
    plan, process, round = read_plan(run), SIM if file.parent.name == "sim" else int(file.parent.name), int(file.stem)
    content = read_round_file(file, plan, process, round)
    return b"".join(frame_round_file(replace(plan, run=plan.run ^ 1), process, round, content))


def test_litter_of_killed_writers_is_no_trouble(start: Any, endless: Any, check_bits: Any, stop: Any) -> None:
    launch = start("litter", *endless)
    launch.wait_for_round(2)
    for directory in ("agents/000", "agents/002", "sim", "coordinator"):
        for litter in (".000003.round.1.tmp", ".000099.round.77.tmp", ".000003.json.1.tmp"):
            (launch.path / directory / litter).write_bytes(b"half a file")
    for process in ("agent/0", "agent/2", "sim", "coordinator"):
        os.kill(launch.pid_of(process), 9)
    launch.wait_until(lambda state: sum(event["event"] == "back" for event in launch.events()) == 4)
    stop(launch)
    assert not list(launch.path.rglob("*.tmp"))
    check_bits(launch)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.decode().strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_full_disk_stops_the_run_and_room_lets_it_go_on(
    start: Any, endless: Any, small_disk: Path, campaign: Any, check_bits: Any, stop: Any
) -> None:
    launch = start("full", *endless, directory=small_disk)
    launch.wait_for_round(2)
    ballast = small_disk / "ballast"
    with ballast.open("wb") as file:
        free = shutil.disk_usage(small_disk).free
        file.write(bytes(free - campaign.draw.randrange(0, 200_000)))
    code = launch.end()
    campaign.say(f"a full disk ended the run with exit code {code}: {launch.words[-600:]}")
    assert code in (1, 4), launch.words
    assert "No space left on device" in launch.words
    assert "Traceback" not in launch.words
    ballast.unlink()
    more = again(start, launch)
    more.wait_for_round(6)
    stop(more)
    check_bits(more)
