"""A world stepped by hand, and what it sends read by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from scalmarl.sim_server.corridor import Corridor, scale_for
from scalmarl.sim_server.manyant_model import SUBSTEPS, build_model
from scalmarl.sim_server.manyant_task import CONTROL_DT, HALF_WIDTH
from scalmarl.sim_server.tasks import describe
from scalmarl.sim_server.world import World

Array = NDArray[Any]
STATE = mujoco.mjtState.mjSTATE_INTEGRATION
NO_END = 1_000_000
"""A horizon at which nothing is truncated in a test."""


def world_of(
    agents: int = 3,
    copies: int = 4,
    groups: int = 1,
    seed: int = 0,
    threads: int = 1,
    segments: int = 1,
    **task: Any,
) -> World:
    spec = describe(f"safe-manyant:{agents}x{segments}", **task)
    return World(spec, copies=copies, groups=groups, seed=seed, threads=threads)


def random_actions(world: World, steps: int, copies: int, seed: int = 0, spread: float = 0.5) -> Array:
    """``[T, A, E, action size]``."""
    draw = np.random.default_rng(seed)
    return (spread * draw.normal(size=(steps, world.spec.agents, copies, world.spec.action_sizes[0]))).astype("f4")


def sent(world: World, groups: int = 1) -> Array:
    """Everything that is sent now, ``[A, E, width]``."""
    agents = range(world.spec.agents)
    return np.stack([np.concatenate([world.observation(a, g) for g in range(groups)]) for a in agents])


def run(world: World, actions: Array, groups: int = 1) -> Iterator[Array]:
    """Step every group in turn; what was sent after each control step."""
    size = actions.shape[2] // groups
    for now in actions:
        for group in range(groups):
            world.step(group, [mine[group * size : (group + 1) * size] for mine in now])
        yield sent(world, groups)


def still(world: World, steps: int, copies: int) -> Iterator[Array]:
    return run(world, np.zeros((steps, world.spec.agents, copies, world.spec.action_sizes[0]), np.float32))


def reward_of(seen: Array) -> Array:
    return seen[..., -4]


def cost_of(seen: Array) -> Array:
    return seen[..., -3]


def flags_of(seen: Array) -> tuple[Array, Array]:
    return seen[..., -2] != 0, seen[..., -1] != 0


@dataclass
class PlainCopy:
    """One copy stepped by mj_step, and its figures from MuJoCo's own kinematics."""

    model: mujoco.MjModel
    data: mujoco.MjData
    agents: int
    segments: int

    @classmethod
    def of(cls, world: World, copy: int) -> PlainCopy:
        segments = world.spec.parameters["segments"]
        body = world.spec.agents * segments
        model = build_model(body, Corridor(HALF_WIDTH, scale_for(body)))
        data = mujoco.MjData(model)
        mujoco.mj_setState(model, data, world.batch.state[copy].copy(), STATE)
        return cls(model, data, world.spec.agents, segments)

    def step(self, actions: Array) -> tuple[Array, Array, float]:
        """``actions[i]`` of agent i; returns blocks ``[A, n * 24]``, local rewards, and the team reward."""
        before = self.data.qpos[0]
        self.data.ctrl[:] = np.concatenate(list(actions))
        for _ in range(SUBSTEPS):
            mujoco.mj_step(self.model, self.data)
        forces, speed = self.data.cfrc_ext.copy(), (self.data.qpos[0] - before) / CONTROL_DT
        local = np.empty(self.agents)
        for agent in range(self.agents):
            first = 1 + 7 * self.segments * agent
            felt = np.clip(forces[first : first + 7 * self.segments], -1.0, 1.0)
            control = float((actions[agent].astype(np.float64) ** 2).sum())
            local[agent] = (speed + 1.0) / self.agents - 0.5 * control - 0.0005 * float((felt**2).sum())
        control = float((actions.astype(np.float64) ** 2).sum())
        team = speed - 0.5 * control - 0.0005 * float((np.clip(forces, -1, 1) ** 2).sum()) + 1.0
        return self._blocks(forces), local, team

    def _blocks(self, forces: Array) -> Array:
        model, data = self.model, mujoco.MjData(self.model)
        mujoco.mj_setState(model, data, self._state(), STATE)
        mujoco.mj_forward(model, data)
        blocks = []
        for segment in range(self.agents * self.segments):
            torso = model.body(f"torso_{segment}").id
            rotation, velocity = data.xmat[torso].reshape(3, 3), np.empty(6)
            axes = {}
            for local in (0, 1):
                mujoco.mj_objectVelocity(model, data, mujoco.mjtObj.mjOBJ_XBODY, torso, velocity, local)
                axes[local] = velocity.copy()
            names = [f"{joint}_{segment}" for joint in ("hip_1", "ankle_1", "hip_2", "ankle_2")]
            x, y, z = data.xpos[torso]
            corridor = Corridor(HALF_WIDTH, scale_for(self.agents * self.segments))
            heading = np.arctan2(rotation[1, 0], rotation[0, 0])
            feet = [np.linalg.norm(forces[model.body(f"foot_{n}_{segment}").id, 3:]) for n in (1, 2)]
            blocks.append(
                [
                    *(data.joint(name).qpos[0] for name in names), *(data.joint(name).qvel[0] for name in names),
                    z, *rotation[:, 2], *axes[0][3:], *axes[1][:3], x / 5.0,
                    y - float(corridor.centre_line(np.array([x]))[0]), *np.minimum(feet, 1.0),
                    np.cos(heading), np.sin(heading),
                ]
            )  # fmt: skip
        return np.array(blocks).reshape(self.agents, -1)

    def _state(self) -> Array:
        state = np.empty(mujoco.mj_stateSize(self.model, STATE))
        mujoco.mj_getState(self.model, self.data, state, STATE)
        return state


def placed(world: World, copy: int, y: float, yaw: float, x: float = -1.0, z: float = 0.75) -> None:
    """Put the head there; before the corridor's first fold, so that its centre line is y = 0."""
    position, velocity = world.batch.bind("qpos"), world.batch.bind("qvel")
    position[copy, :7] = [x, y, z, np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)]
    velocity[copy] = 0.0
