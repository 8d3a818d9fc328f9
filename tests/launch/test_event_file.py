"""TensorBoard's event file holds every committed round once, whatever died, and says what metrics.jsonl says."""

from __future__ import annotations

import json
import math
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scalmarl.launch import event_file
from scalmarl.launch.event_file import EventFile
from scalmarl.launch.records import last_lines, read_lines
from scalmarl.launch.scalars import scalars

pytestmark = pytest.mark.skipif(not event_file.can_write(), reason="tensorboardX comes with the extra 'tensorboard'")
LINE = {
    "env_steps": 96, "return_team": None, "return_rate": 5.5, "cost_team": 2.0, "cost_rate_team": 3.0,
    "distance": None, "distance_rate": 0.5, "wall_s": 1.0, "sample_s": 0.25, "update_s": 0.5, "cost_agent": None,
    "cost_estimate_agent": [7.0, None], "cost_limit": [5.0, 6.0], "bytes_agent": [100, 0], "kl_agent": [0.01, None],
    "kl_max_agent": [0.1, None], "radius_agent": [0.02, None], "lambda_agent": [0.5, None],
    "clip_fraction": [0.125, None], "epochs": [3, None], "policy_std": [None, None], "policy_entropy": [1.25, None],
    "explained_variance": [[0.75, -0.5], None],
}  # fmt: skip


def test_figures_have_the_fields_names_and_an_absent_agent_has_none() -> None:
    assert scalars(LINE) == {
        "return/rate": 5.5, "cost/team": 2.0, "cost/rate": 3.0, "distance/rate": 0.5, "time/round_s": 1.0,
        "time/sample_s": 0.25, "time/update_s": 0.5, "cost/estimate_000": 7.0, "cost/limit_000": 5.0,
        "comm/bytes_sent_000": 100.0, "update/kl_000": 0.01, "update/kl_largest_000": 0.1, "update/radius_000": 0.02,
        "update/multiplier_000": 0.5, "update/clip_fraction_000": 0.125, "update/epochs_000": 3.0,
        "policy/entropy_000": 1.25, "critic/explained_variance_000": 0.75, "critic/explained_variance_cost_000": -0.5,
    }  # fmt: skip


def test_several_costs_are_numbered_and_what_an_older_version_lacks_is_left_out() -> None:
    two = {**LINE, "cost_estimate_agent": [[7.0, 8.0], None], "explained_variance": [[0.1, 0.2, None], None]}
    found = scalars(two)
    assert (found["cost/estimate_0_000"], found["cost/estimate_1_000"]) == (7.0, 8.0)
    assert found["critic/explained_variance_cost_0_000"] == 0.2
    assert "critic/explained_variance_cost_1_000" not in found
    old = {name: value for name, value in LINE.items() if name not in ("policy_entropy", "explained_variance")}
    assert scalars(LINE).keys() - scalars(old).keys() == {
        "policy/entropy_000", "critic/explained_variance_000", "critic/explained_variance_cost_000",
    }  # fmt: skip


def crc32c(data: bytes) -> int:
    """Castagnoli's polynomial, bit by bit."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def masked(data: bytes) -> bytes:
    value = crc32c(data)
    return struct.pack("<I", (((value >> 15) | (value << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def events(directory: Path) -> list[tuple[int, dict[str, float]]]:
    """Step and scalars of every event, by the format of TFRecord files; nothing may be left at the end."""
    from tensorboardX.proto.event_pb2 import Event

    (path,) = directory.iterdir()
    assert "tfevents" in path.name
    data, found = path.read_bytes(), []
    while data:
        size = struct.unpack("<Q", data[:8])[0]
        assert data[8:12] == masked(data[:8])
        content, data = data[12 : 12 + size], data[12 + size :]
        assert data[:4] == masked(content)
        data = data[4:]
        event = Event.FromString(content)
        found.append((event.step, {value.tag: value.simple_value for value in event.summary.value}))
    assert found[0] == (0, {}), "the version comes first"
    return found[1:]


def lines(count: int, seed: float = 0.0) -> list[dict[str, Any]]:
    return [{**LINE, "round": n, "env_steps": 96 * (n + 1), "return_rate": seed + n} for n in range(count)]


def test_crc_is_castagnolis() -> None:
    assert crc32c(b"123456789") == 0xE3069283


def test_a_round_is_one_event_at_its_environment_steps(tmp_path: Path) -> None:
    file = EventFile(tmp_path / "tb")
    file.catch_up(lines(2))
    file.add(lines(3)[2])
    found = events(tmp_path / "tb")
    assert [step for step, _ in found] == [96, 192, 288]
    for line, (_, told) in zip(lines(3), found):
        assert told == pytest.approx(scalars(line))


@pytest.mark.parametrize("cut", [1, 4, 11, 200])
def test_a_torn_record_is_written_again_and_none_twice(cut: int, tmp_path: Path) -> None:
    EventFile(tmp_path / "tb").catch_up(lines(3))
    (path,) = (tmp_path / "tb").iterdir()
    path.write_bytes(path.read_bytes()[:-cut])
    EventFile(tmp_path / "tb").catch_up(lines(4))
    assert [step for step, _ in events(tmp_path / "tb")] == [96, 192, 288, 384]


def test_zeros_after_a_power_cut_are_no_record(tmp_path: Path) -> None:
    EventFile(tmp_path / "tb").catch_up(lines(2))
    (path,) = (tmp_path / "tb").iterdir()
    path.write_bytes(path.read_bytes() + bytes(64))
    EventFile(tmp_path / "tb").catch_up(lines(3))
    assert [step for step, _ in events(tmp_path / "tb")] == [96, 192, 288]


def test_a_run_that_went_back_begins_anew_and_other_files_stay(tmp_path: Path) -> None:
    EventFile(tmp_path / "tb").catch_up(lines(5))
    mine = tmp_path / "tb" / "events.out.tfevents.1.mine"
    mine.write_bytes(b"mine")
    EventFile(tmp_path / "tb").catch_up(lines(3))
    assert mine.read_bytes() == b"mine"
    mine.unlink()
    assert [step for step, _ in events(tmp_path / "tb")] == [96, 192, 288]


def test_a_run_has_an_event_file_that_repeats_its_metrics(calm: Any) -> None:
    wanted = read_lines(calm.path / "metrics.jsonl")
    found = events(calm.path / "tb")
    assert [step for step, _ in found] == [line["env_steps"] for line in wanted]
    for line, (_, told) in zip(wanted, found):
        expected = scalars(line)
        assert told.keys() == expected.keys()
        assert all(math.isclose(told[name], expected[name], rel_tol=1e-6, abs_tol=1e-12) for name in told)


def test_the_launcher_does_not_load_torch_for_it() -> None:
    script = (
        "import sys; from pathlib import Path; from scalmarl.launch.event_file import EventFile; "
        f"EventFile(Path({'/nowhere'!r})); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=60).returncode == 0


def test_without_the_extra_a_launch_says_so_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from scalmarl.launch import starting
    from scalmarl.launch.config import resolve
    from scalmarl.launch.planning import make_plan
    from scalmarl.protocol.lifeline import release_stop_signals

    monkeypatch.setattr(starting, "can_write", lambda: False)
    monkeypatch.setattr(starting, "hand_over", lambda run, lock, *_: (os.close(lock), release_stop_signals()))
    starting.begin(make_plan(*resolve(None, (), {"run.agents": 2, "run.kappa": 1})), tmp_path / "run", False)
    assert capsys.readouterr().err.count("no TensorBoard files: the extra 'tensorboard' is not installed") == 1


@pytest.mark.chaos
def test_a_launcher_killed_and_resumed_has_every_step_once(
    start: Callable[..., Any], scalmarl: Callable[..., Any]
) -> None:
    size = ("--agents", "2", "--kappa", "1", "--envs", "4", "--steps", "24", "--rounds", "12")
    launch = start("events", *size)
    launch.wait_for_round(3)
    launch.process.kill()
    launch.process.wait()
    again = start("events", str(launch.path), command=("resume",))
    assert again.end() == 0, again.words
    assert [step for step, _ in events(launch.path / "tb")] == [48 * 2 * (n + 1) for n in range(12)]
    back = start("events", str(launch.path), "--from-round", "10", command=("resume",))
    assert back.end() == 0, back.words
    assert [step for step, _ in events(launch.path / "tb")] == [48 * 2 * (n + 1) for n in range(12)]


@pytest.mark.parametrize("count", [1, 2, 7, 50])
def test_the_last_lines_are_read_without_the_first(count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from scalmarl.launch import records

    monkeypatch.setattr(records, "_BLOCK", 16)
    path = tmp_path / "metrics.jsonl"
    assert last_lines(path, count) == []
    whole = [{"round": n, "text": "x" * n} for n in range(20)]
    path.write_text("".join(json.dumps(line) + "\n" for line in whole) + '{"round": 20, "te', encoding="utf-8")
    assert last_lines(path, count) == whole[-count:]


def test_can_write_is_about_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    assert event_file.can_write()
    monkeypatch.setattr(event_file.importlib.util, "find_spec", lambda name: None)
    assert not event_file.can_write()
