"""Worlds from outside under real launches: kills, other interpreters, broken contracts, and the words for all of it."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
import zmq

from scalmarl.protocol.streams import Purpose, stream

from .plain_policy import PlainPolicy

Run = Callable[..., "subprocess.CompletedProcess[str]"]
WORLDS = Path(__file__).parents[1] / "worlds"
WHERE = ("--set", f"world.directory={WORLDS}")
SIZE = ("--world", "patrol:Patrol", *WHERE, "--kappa", "1", "--envs", "4", "--steps", "10", "--rounds", "3")
OLD_PYTHON = "SCALMARL_OLD_PYTHON"
"""Names an interpreter from 3.9 on with numpy, pyzmq and msgpack, and nothing of ours."""


def digest_of(scalmarl: Run, run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(scalmarl("digest", "--run", str(run), "--json").stdout)
    return found


@pytest.fixture(scope="session")
def whole(start: Any) -> Any:
    """A run of the unequal agents that nobody disturbed."""
    launch = start("patrol", *SIZE)
    assert launch.end() == 0, launch.words
    return launch


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second virtual environment that has numpy, pyzmq and msgpack, and neither torch, MuJoCo nor our package."""
    place = tmp_path_factory.mktemp("bare")
    venv.EnvBuilder(symlinks=True, with_pip=False).create(place)
    site = next(place.glob("lib/python3*/site-packages"))
    for package in (np, zmq, msgpack):
        found = Path(str(package.__file__)).parent
        for part in found.parent.glob(f"*{'pyzmq' if package is zmq else found.name}*"):
            (site / part.name).symlink_to(part)
        (site / found.name).exists() or (site / found.name).symlink_to(found)
    return place / "bin" / "python"


def test_unequal_agents_that_choose_push_and_die_learn(whole: Any, scalmarl: Run) -> None:
    lines = [json.loads(line) for line in (whole.path / "metrics.jsonl").read_text().splitlines()]
    assert len(lines) == 3
    assert lines[-1]["cost_limit"] == [[3.0, 4.0], [5.0], [6.0]]
    assert [len(own) for own in lines[-1]["cost_agent"]] == [2, 1, 1]
    assert lines[-1]["distance"] is None
    assert lines[-1]["terminations"] >= 0
    assert all(kl >= 0 for kl in lines[-1]["kl_agent"])
    traffic = json.loads(scalmarl("traffic", "--run", str(whole.path), "--json").stdout)
    assert all(n["per_round_bytes"] == n["predicted_bytes"] for n in traffic["neighbourhoods"])
    assert "distance" not in whole.words.split("team;")[0]


def test_the_bits_stay_when_the_sim_server_and_an_agent_are_killed(whole: Any, start: Any, scalmarl: Run) -> None:
    plant = [
        {"do": "kill", "process": "sim", "round": 1, "place": "after need action", "step": 5},
        {"do": "kill", "process": "agent/1", "round": 2, "place": "after put turn"},
    ]
    killed = start("killed-patrol", *SIZE, plant=plant)
    assert killed.end() == 0, killed.words
    deaths = [event["process"] for event in killed.events() if event["event"] == "death"]
    assert deaths == ["sim", "agent/1"]
    assert digest_of(scalmarl, killed.path) == digest_of(scalmarl, whole.path)


def test_a_world_lives_in_another_interpreter(whole: Any, start: Any, scalmarl: Run, bare_python: Path) -> None:
    there = start("bare", *SIZE, "--world-python", str(bare_python))
    assert there.end() == 0, there.words
    assert digest_of(scalmarl, there.path) == digest_of(scalmarl, whole.path)
    log = next((there.path / "sim").rglob("log.0.txt")).read_text()
    assert "Traceback" not in log
    played = [scalmarl("eval", str(run.path), "--episodes", "4", "--json").stdout for run in (whole, there)]
    assert len(json.loads(played[0])["episodes"]) == 4
    assert played[0] == played[1]


def test_eval_is_what_the_world_itself_does_with_the_round_files(whole: Any, scalmarl: Run) -> None:
    """Pushes, choices, deaths and several costs, with the world taken from its module and nothing of ours around it."""
    found = json.loads(scalmarl("eval", str(whole.path), "--episodes", "5", "--seed", "3", "--json").stdout)
    policies = [PlainPolicy(whole.path, agent, 3) for agent in range(3)]
    assert [policy.chooses for policy in policies] == [True, False, False]
    module = runpy.run_path(str(WORLDS / "patrol.py"))
    for copy, episode in enumerate(found["episodes"]):
        seed = int(stream(3, purpose=Purpose.EPISODE_RESET, process=copy).integers(2**31))
        rewards, costs, length = played_by_hand(module["Patrol"](), policies, seed)
        assert episode["length"] == length
        np.testing.assert_allclose(episode["return_agent"], rewards, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(np.hstack(episode["cost_agent"]), np.hstack(costs), atol=1e-6)
        assert episode["return_team"] == pytest.approx(sum(rewards), rel=1e-6)
    assert (found["agents"][0]["cost_limit"], len(found["agents"][0]["cost"])) == ([3.0, 4.0], 2)


def played_by_hand(env: Any, policies: list[PlainPolicy], seed: int) -> tuple[list[float], list[Any], int]:
    """Rewards, costs and length of one episode."""

    def block(name: str) -> Any:
        flat = np.eye(4)[seen[name] - 1] if name == "guard" else np.ravel(seen[name])
        return np.append(flat, name in present)[None].astype(np.float32)

    names, (seen, _) = env.possible_agents, env.reset(seed=seed)
    # What an agent saw when it ended is told as that of one who was there; from then on it is not.
    present = set(names)
    rewards, costs = [0.0, 0.0, 0.0], [np.zeros(2), np.zeros(1), np.zeros(1)]
    length = 0
    while env.agents:
        sent = [policy.act([block(name) for name in names])[0] for policy in policies]
        joint = {"scout": int(sent[0][0]) - 1}
        for name, push in zip(names[1:], sent[1:]):
            joint[name] = np.clip(-0.5 + (push.astype(np.float64) + 1.0) * 0.75, -0.5, 1.0).astype(np.float32)
        present = set(env.agents)
        told = env.step({name: joint[name] for name in env.agents})
        seen = {**seen, **told[0]}
        for agent, name in enumerate(names):
            rewards[agent] += told[1].get(name, 0.0)
            costs[agent] += told[4].get(name, {"cost": 0.0})["cost"]
        length += 1
    return rewards, costs, length


def test_a_world_that_draws_itself_is_filmed_without_a_graphics_library(
    start: Any, scalmarl: Run, tmp_path: Path, whole: Any
) -> None:
    for module in ("av", "PIL"):
        pytest.importorskip(module, reason=f"{module} comes with the extra 'video'")
    import av

    drawn = start("drawn", "--world", "patrol:DrawnPatrol", *SIZE[2:-1], "1")
    assert drawn.end() == 0, drawn.words
    path = tmp_path / "film.mp4"
    answer = scalmarl("replay", str(drawn.path), "-o", str(path), "--episodes", "2", "--no-caption")
    assert answer.returncode == 0, answer.stderr
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 2 * 13, "one picture per observation"
    assert frames[0].shape == (42, 60, 3)
    assert (frames[0] > 200).any()
    blind = scalmarl("replay", str(whole.path), "-o", str(path))
    assert blind.returncode == 2
    assert "it has no render()" in blind.stderr
    assert "rgb_array" in blind.stderr


def test_a_world_lives_in_an_older_python(start: Any) -> None:
    old = os.environ.get(OLD_PYTHON)
    if not old:
        pytest.skip(f"no older Python; {OLD_PYTHON} names one with numpy, pyzmq and msgpack")
    there = start("old", *SIZE, "--world-python", old)
    assert there.end() == 0, there.words


@pytest.mark.parametrize(
    "code",
    [
        "import scalmarl.sim_server.process, scalmarl.sim_server.foreign_world, scalmarl.protocol.shell",
        "import scalmarl.sim_server.foreign_check, scalmarl.sim_server.rollout",
    ],
    ids=["sim server", "tools"],
)
def test_what_a_world_s_interpreter_loads_of_ours(code: str) -> None:
    told = "import sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", f"{code}; {told}"], capture_output=True, text=True, check=True)
    heavy = {"torch", "mujoco", "networkx", "pydantic", "rich", "click", "gymnasium", "pettingzoo", "safetensors"}
    assert not heavy & set(done.stdout.split())


BROKEN = {
    "raise": ("steps after its reset: step raised:", "ZeroDivisionError: the scout divided by nothing"),
    '"nan"': ("agent 2 (cook)", "its observation holds a number that is not finite"),
    "no cost": ("agent 2 (cook)", "its info has no 'cost'"),
    "four values": ("steps after its reset:", "step returned something else than (observations"),
    "stranger": ("agent owl", "it is among env.agents, but not among possible_agents"),
}


@pytest.mark.parametrize("name", [pytest.param(x, marks=[] if x == "raise" else pytest.mark.chaos) for x in BROKEN])
def test_a_broken_contract_stops_the_run_which_goes_on_after_the_mend(
    name: str, start: Any, scalmarl: Run, tmp_path: Path, whole: Any
) -> None:
    mended = tmp_path / "mended"
    fault = ("--world-arg", f"fault={name}", "--world-arg", "at=9", "--world-arg", f"mended={mended}")
    broken = start(f"broken-patrol-{''.join(filter(str.isalpha, name))}", *SIZE, *fault)
    assert broken.end() == 1, broken.words
    assert "sim crashed 3 times" in broken.words
    said = " ".join(broken.words.split())
    assert "patrol:Patrol: " in said
    assert "copy " in said
    assert all(words in said for words in BROKEN[name]), said
    mended.touch()
    again = start(broken.path.name, str(broken.path), command=("resume",))
    assert again.end() == 0, again.words
    sound = digest_of(scalmarl, whole.path)
    assert digest_of(scalmarl, broken.path)["agents"] == sound["agents"]


WRONG: dict[str, tuple[tuple[str, ...], int, str, str]] = {
    "no module": (("--world", "nowhere:make"), 2, "no module 'nowhere'", "env check nowhere:make"),
    "a task as well": (("--world", "patrol:Patrol", "--task", "cheetahs"), 2, "--task and --world", "leave one out"),
    "no interpreter": (
        ("--world", "patrol:Patrol", *WHERE, "--world-python", "/nowhere/python"), 2, "/nowhere/python cannot be run",
        "Python, 3.9 or newer",
    ),
    "an argument without value": (("--world", "patrol:Patrol", "--world-arg", "size"), 2, "is not NAME=VALUE", ""),
    "another graph": (("--world", "patrol:Patrol", *WHERE, "--graph", "grid:2x2"), 2, "grid:2x2 does not hold 3", ""),
    "no graph": (("--world", "patrol:Lonely", *WHERE), 2, "does not say who is whose neighbour", "--graph path"),
    "a coupling": (("--world", "patrol:Patrol", *WHERE, "--coupling", "1"), 2, "has no coupling", "leave --coupling"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_world_says_so_and_starts_nothing(name: str, refused: Callable[[Any], None]) -> None:
    refused(WRONG[name])


def test_check_show_and_rollout_take_worlds_from_outside(scalmarl: Run) -> None:
    pytest.importorskip("pettingzoo", reason="the example world is one of PettingZoo's: it needs the extra 'worlds'")
    checked = scalmarl("env", "check", "crossing:make", "--json", cwd=WORLDS.parents[1] / "examples")
    assert checked.returncode == 0, checked.stdout
    found = json.loads(checked.stdout)
    assert (found["schema"], found["passed"]) == (1, True)
    assert found["checks"][-1] == {"check": "process", "verdict": "ok", "detail": "a second process gets the same bits"}
    failed = scalmarl("env", "check", "patrol:Patrol", "--world-arg", "fault=shape", cwd=WORLDS)
    assert failed.returncode == 1
    assert "agent scout: 2 steps after reset: its observation has shape" in " ".join(failed.stdout.split())
    shown = json.loads(scalmarl("env", "show", "patrol:Patrol", "--json", cwd=WORLDS).stdout)
    assert (shown["agents"], shown["graph"], shown["summary"]) == (3, "path", "a world from outside")
    rolled = json.loads(scalmarl("env", "rollout", "patrol:Patrol", "--episodes", "2", "--json", cwd=WORLDS).stdout)
    assert [episode["distance"] for episode in rolled["episodes"]] == [None, None]
    assert all(episode["length"] <= 12 for episode in rolled["episodes"])
    known = scalmarl("env", "check", "safe-halfcheetahs:6x1")
    assert (known.returncode, "did you mean safe-halfcheetah" in known.stderr) == (2, True)
