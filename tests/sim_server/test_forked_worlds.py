"""Worlds behind pipes are the same worlds, and their workers neither hang anybody nor outlive anybody."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys

import numpy as np
import psutil
import pytest

from scalmarl.sim_server.forked_worlds import ForkedWorlds, WorkerLost
from scalmarl.sim_server.tasks import describe
from scalmarl.sim_server.world import World

SPEC = describe("safe-halfcheetah:2x3")


def test_forked_worlds_tell_what_worlds_tell() -> None:
    draw = np.random.default_rng(0)
    here = [World(SPEC, copies=2, groups=1, seed=7 + worker, threads=1) for worker in range(2)]
    with ForkedWorlds(SPEC, copies=4, workers=2, seed=7) as worlds:
        assert np.array_equal(worlds.told(), np.concatenate([world.told(0) for world in here]))
        for _ in range(3):
            actions = draw.normal(size=(4, 6)).astype(np.float32)
            for worker, world in enumerate(here):
                world.step(0, [actions[2 * worker : 2 * worker + 2, own] for own in (slice(0, 3), slice(3, 6))])
            assert np.array_equal(worlds.step(actions), np.concatenate([world.told(0) for world in here]))
    alone = [world.observation(agent, 0) for world in here for agent in range(2)]
    assert np.array_equal(np.concatenate(alone[:2], axis=1), here[0].told(0))


def test_a_worker_that_is_killed_is_an_error_at_once() -> None:
    with ForkedWorlds(SPEC, copies=3, workers=3, seed=0) as worlds:
        multiprocessing.active_children()[0].kill()
        with pytest.raises(WorkerLost, match="ended with exit code -9"):
            worlds.step(np.zeros((3, 6), np.float32))
    assert not multiprocessing.active_children()


def test_copies_must_be_shared_out_evenly() -> None:
    with pytest.raises(ValueError, match="multiple of the workers"):
        ForkedWorlds(SPEC, copies=3, workers=2, seed=0)


HOLDS = """
import sys, time
from scalmarl.sim_server.forked_worlds import ForkedWorlds
from scalmarl.sim_server.tasks import describe
import psutil
with ForkedWorlds(describe("safe-halfcheetah:2x3"), copies=2, workers=2, seed=0):
    print(*(child.pid for child in psutil.Process().children()), flush=True)
    time.sleep(60)
"""


def test_workers_end_with_a_parent_that_is_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", HOLDS], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    workers = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
    assert len(workers) == 2
    parent.kill()
    parent.wait()
    parent.stdout.close()
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert not alive
