"""The chain against the figures of its source: sizes, masses, names, ranges, gears, walls."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
from mujoco.batch import Batch

from scalmarl.sim_server.corridor import FOLDS, Corridor, scale_for
from scalmarl.sim_server.manyant_model import BODIES, SUBSTEPS
from scalmarl.sim_server.manyant_model import build_model as build
from scalmarl.sim_server.manyant_task import CONTROL_DT, HALF_WIDTH, JOINTS


def build_model(segments: int, scale: float = 1.0, physics: str = "fast") -> mujoco.MjModel:
    return build(segments, Corridor(HALF_WIDTH, scale), physics)


@pytest.mark.parametrize(("segments", "mass"), [(2, 4.13), (6, 19.47), (8, 27.14), (16, 57.83)])
def test_masses_of_the_original(segments: int, mass: float) -> None:
    assert mujoco.mj_getTotalmass(build_model(segments)) == pytest.approx(mass, abs=0.005)


@pytest.mark.parametrize("segments", [1, 3, 8, 16])
def test_sizes_and_order(segments: int) -> None:
    model = build_model(segments, scale_for(segments))
    assert (model.nq, model.nv, model.nu) == (7 + 4 * segments, 6 + 4 * segments, 4 * segments)
    names = [f"{joint}_{segment}" for segment in range(segments) for joint in JOINTS]
    assert [model.joint(1 + n).name for n in range(4 * segments)] == names
    assert [model.actuator(n).name for n in range(4 * segments)] == names
    for n, name in enumerate(names):
        assert model.actuator(n).trnid[0] == model.joint(name).id
    bodies = ["world", *(f"{body}_{segment}" for segment in range(segments) for body in BODIES)]
    assert [model.body(n).name for n in range(model.nbody)] == bodies


def test_time_steps_and_actuators() -> None:
    model = build_model(8)
    assert model.opt.timestep == 0.005
    assert model.opt.timestep * SUBSTEPS == pytest.approx(CONTROL_DT)
    assert model.opt.integrator == mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    assert (model.actuator_gear[:, 0] == 150.0).all()
    assert model.actuator_ctrllimited.all()
    assert (model.actuator_ctrlrange == [-1.0, 1.0]).all()
    assert (model.dof_armature[6:] == 1.0).all()
    assert (model.dof_damping.reshape(model.nv, -1)[6:, 0] == 1.0).all()
    assert (model.dof_armature[:6] == 0.0).all()


def test_joints_of_head_and_of_the_others() -> None:
    model, degrees = build_model(3), np.pi / 180
    axes = {"ankle_1_0": (-1, 1), "ankle_2_0": (1, 1), "ankle_1_2": (1, 1), "ankle_2_2": (-1, 1)}
    for name, (x, y) in axes.items():
        np.testing.assert_allclose(model.joint(name).axis, np.array([x, y, 0]) / np.sqrt(2))
        low, high = (30, 70) if name.endswith("_0") else (-70, -30)
        np.testing.assert_allclose(model.joint(name).range, [low * degrees, high * degrees])
    for name in ("hip_1_0", "hip_2_2"):
        np.testing.assert_allclose(model.joint(name).axis, [0, 0, 1])
        np.testing.assert_allclose(model.joint(name).range, [-30 * degrees, 30 * degrees])
    np.testing.assert_allclose(model.body("foot_2_0").pos, [0.2, -0.2, 0])
    np.testing.assert_allclose(model.body("foot_2_1").pos, [-0.2, -0.2, 0])
    np.testing.assert_allclose(model.body("torso_2").pos, [-1, 0, 0])


@pytest.mark.parametrize("segments", [1, 8, 16])
def test_walls_follow_the_corridor_and_touch_nothing(segments: int) -> None:
    scale = scale_for(segments)
    model = build_model(segments, scale)
    walls = [geom for geom in range(model.ngeom) if model.geom(geom).name.startswith("wall")]
    # One on either side of each straight piece: before the first fold, between the folds, after the last.
    assert len(walls) == 2 * (len(FOLDS) + 2)
    for geom in walls:
        x, y, _ = model.geom_pos[geom]
        side = 1 if model.geom(geom).name.endswith("left") else -1
        # In the middle of a wall it is half a width away from the centre line, measured along y as the cost is.
        assert y - Corridor(HALF_WIDTH, scale).centre_line(np.array([x]))[0] == pytest.approx(side * HALF_WIDTH * scale)
        assert model.geom_contype[geom] == model.geom_conaffinity[geom] == 0
    data = mujoco.MjData(model)
    for _ in range(100):
        mujoco.mj_step(model, data)
        assert not set(walls) & set(np.asarray(data.contact.geom).reshape(-1).tolist())
    assert data.ncon > 0


def test_batch_fills_the_contact_forces() -> None:
    batch = Batch(build_model(2), nsim=1, nthread=1)
    forces = batch.bind("cfrc_ext")
    batch.step(nstep=200)
    assert np.abs(forces).max() > 0.0
