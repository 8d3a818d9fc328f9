"""``safe-halfcheetah``, ``safe-coupled-halfcheetah`` and ``cheetahs``: planar cheetahs behind a moving plate, the
"bomb", described without MuJoCo."""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass

from scalmarl.protocol.task import TaskSpec
from scalmarl.sim_server.task_family import (
    PRESENCE,
    PUBLISHED_STD,
    REWARDS,
    Choice,
    Family,
    Joints,
    first_with,
    fixed_partitions,
    quotient_edges,
    task_of,
)
from scalmarl.sim_server.velocity_cost import VELOCITY

CONTROL_DT = 0.05
JOINTS: Joints = ("bthigh", "bshin", "bfoot", "fthigh", "fshin", "ffoot")
"""In the order of the model."""
BODY_CHAIN = ("bfoot", "bshin", "bthigh", "fthigh", "fshin", "ffoot")
TIED = "bthigh"
"""The joint that neighbouring cheetahs are joined at in the agent graph; its owner feels the tendons."""
COUPLING = 0.1
"""Stiffness of a tendon of the published task (N/m)."""
MOST = 256

ONE: dict[str, tuple[Joints, ...]] = {
    "6x1": tuple((joint,) for joint in ("bfoot", "bshin", "bthigh", "ffoot", "fshin", "fthigh")),
    "3x2": (("bfoot", "bshin"), ("bthigh", "ffoot"), ("fshin", "fthigh")),
    "2x3": (("bthigh", "bshin", "bfoot"), ("fthigh", "fshin", "ffoot")),
}


def _of(cheetah: int, joints: Joints) -> Joints:
    return tuple(f"{joint}_{cheetah}" for joint in joints)


def _twice(owners: tuple[Joints, ...]) -> tuple[Joints, ...]:
    return tuple(_of(cheetah, joints) for cheetah in range(2) for joints in owners)


SINGLE = {name: tuple(_of(0, joints) for joints in owners) for name, owners in ONE.items()}
COUPLED = {
    "1p1": _twice((JOINTS,)),
    "2x6": _twice((JOINTS,)),
    "6x2": _twice(ONE["3x2"]),
    "12x1": _twice(ONE["6x1"]),
}


@dataclass(frozen=True)
class Herd:
    """What tells the three families apart: ``cheetahs`` C in lanes, of ``mass`` kg each; ``coupling`` N/m of the
    tendons between neighbouring lanes (0: none); whether they are ``separate``, that is, feel each other by tendons
    only and not by pushing the one plate; the gap to it below which it costs (``near``, m); and the ``weight`` of a
    cheetah's reward in the team's."""

    cheetahs: int
    mass: float
    coupling: float
    separate: bool
    near: float
    weight: float


def herd_of(spec: TaskSpec) -> Herd:
    """The herd of a task."""
    return Herd(**spec.parameters)


def costs_by_limb(herd: Herd, cost: str) -> bool:
    """Where agents share the one cheetah, ``local`` costs are those of the limbs that an agent moves."""
    return not herd.separate and herd.cheetahs == 1 and cost == "local"


def torso_entries(cheetah: int) -> tuple[str, ...]:
    """What is known of a cheetah as a whole."""
    return tuple(
        f"cheetah {cheetah}: {entry}"
        for entry in ("height z - 0.7 (m)", "pitch (rad)", "velocity x (m/s)", "velocity z (m/s)", "pitch rate (rad/s)")
    )


def gap_entries(cheetah: int, near: float, legacy: bool) -> tuple[str, ...]:
    """The gap to the bomb, and its two sharp inputs at the edge where it begins to cost (not under ``legacy``)."""
    sharp = () if legacy else (f"tanh(2 (gap - {near:g}))", f"tanh((gap - {near:g}) / 3)")
    return tuple(f"cheetah {cheetah}: {entry}" for entry in ("gap to the bomb (m) / 10, clipped at 5", *sharp))


def tendon_entries(link: int) -> tuple[str, ...]:
    """The tendon between cheetah ``link`` and the next."""
    return (f"tendon {link}-{link + 1}: length (m)", f"tendon {link}-{link + 1}: speed (m/s)")


BOMB_ENTRIES = ("bomb: velocity (m/s)", "bomb: control")


def joint_entries(joint: str) -> tuple[str, str]:
    """Of ``bthigh_0``."""
    return f"{joint} position (rad)", f"{joint} speed (rad/s)"


def features(herd: Herd, legacy: bool) -> tuple[str, ...]:
    """Names of all that blocks are made of, in the order in which the scene computes them."""
    herds = range(herd.cheetahs)
    links = range(herd.cheetahs - 1) if herd.coupling else range(0)
    joints = [joint_entries(joint) for cheetah in herds for joint in _of(cheetah, JOINTS)]
    torsos, gaps = [torso_entries(c) for c in herds], [gap_entries(c, herd.near, legacy) for c in herds]
    tendons = [tendon_entries(link) for link in links]
    # Entry by entry over all cheetahs: the scene fills each with one assignment.
    columns = [zip(*rows) for rows in (joints, torsos, gaps, tendons)]
    return (*itertools.chain.from_iterable(itertools.chain(*columns)), *BOMB_ENTRIES, PRESENCE)


def _block(herd: Herd, joints: Joints, legacy: bool) -> tuple[str, ...]:
    cheetah = int(joints[0].rpartition("_")[2])
    block = [entry for kind in zip(*(joint_entries(joint) for joint in joints)) for entry in kind]
    block += [*torso_entries(cheetah), *gap_entries(cheetah, herd.near, legacy), *BOMB_ENTRIES]
    if herd.coupling and f"{TIED}_{cheetah}" in joints:
        for link in (cheetah - 1, cheetah):
            block += tendon_entries(link) if 0 <= link < herd.cheetahs - 1 else ()
    return (*block, PRESENCE)


def _edges(herd: Herd, owners: tuple[Joints, ...]) -> tuple[tuple[int, int], ...]:
    inside = [(f"{a}_{c}", f"{b}_{c}") for c in range(herd.cheetahs) for a, b in itertools.pairwise(BODY_CHAIN)]
    between = [(f"{TIED}_{c}", f"{TIED}_{c + 1}") for c in range(herd.cheetahs - 1)]
    return quotient_edges(owners, [*inside, *between])


def _describe(family: str, herd: Herd, owners: tuple[Joints, ...], choice: Choice) -> TaskSpec:
    legacy = choice.cost == "legacy"
    return task_of(
        FAMILIES[family],
        choice,
        owners=owners,
        blocks=tuple(_block(herd, joints, legacy) for joints in owners),
        parameters=asdict(herd),
        control_dt=CONTROL_DT,
        cost="bomb",
        edges=_edges(herd, owners),
        standing_still=(0.0, _standing_still_cost(herd, choice.cost, choice.horizon), 0.0),
        initial_std=PUBLISHED_STD,
        nonlocal_facts=_nonlocal(family, herd, owners, choice),
        notes=_notes(family, legacy),
        own_speeds=herd.cheetahs > 1,
    )


def _nonlocal(family: str, herd: Herd, owners: tuple[Joints, ...], choice: Choice) -> tuple[str, ...]:
    facts = ["the bomb is one body that no agent moves: its velocity and control show in every block"]
    if len(owners) > herd.cheetahs:
        whose = "the torso is" if herd.cheetahs == 1 else "a cheetah's torso is"
        facts.append(f"{whose} one body: its height, pitch, velocity and gap show in the blocks of all its agents")
        if choice.reward == "local":
            facts.append("the torso's speed is in the reward of all its agents, each with an equal share")
    if choice.reward == "team" and len(owners) > 1:
        facts.append("every agent is given the team reward")
    own = choice.cost == "local" or (choice.cost == VELOCITY and herd.cheetahs > 1)
    if not own and len(owners) > 1:
        facts.append("every agent is given the same cost")
    elif family == "safe-coupled-halfcheetah" and len(owners) > herd.cheetahs:
        facts.append("a cheetah's cost is given to all its agents")
    return tuple(facts)


def _standing_still_cost(herd: Herd, cost: str, horizon: int) -> float:
    """To a torso that stands still the plate is nearer than 9 m in steps 18 to 51, and never nearer than 5 m; to the
    front foot, where a limb's own gap counts, in steps 11 to 55."""
    if herd.cheetahs == 2 and cost == "legacy":
        return float(horizon)
    if herd.near < 8.0 or cost == VELOCITY:
        return 0.0
    before, steps = (10, 45) if costs_by_limb(herd, cost) else (17, 34)
    return float(min(max(horizon - before, 0), steps))


def _notes(family: str, legacy: bool) -> tuple[str, ...]:
    if legacy and family == "safe-coupled-halfcheetah":
        return ("the published cost counts side walls that are always within its 5 m: it is 1 at every step",)
    return ()


def _halfcheetah(choice: Choice) -> TaskSpec:
    herd = Herd(cheetahs=1, mass=14.0, coupling=0.0, separate=False, near=9.0, weight=1.0)
    return _describe("safe-halfcheetah", herd, SINGLE[choice.partition], choice)


def _coupled(choice: Choice) -> TaskSpec:
    coupling = COUPLING if choice.coupling is None else choice.coupling
    herd = Herd(cheetahs=2, mass=7.0, coupling=coupling, separate=False, near=5.0, weight=0.5)
    return _describe("safe-coupled-halfcheetah", herd, COUPLED[choice.partition], choice)


def _cheetahs(choice: Choice) -> TaskSpec:
    coupling = COUPLING if choice.coupling is None else choice.coupling
    herd = Herd(cheetahs=choice.agents, mass=14.0, coupling=coupling, separate=True, near=9.0, weight=1.0)
    return _describe("cheetahs", herd, tuple(_of(c, JOINTS) for c in range(choice.agents)), choice)


def _only_a_number(agents: int) -> str:
    if agents > MOST:
        raise ValueError(f"cheetahs with {agents} agents; give at most {MOST}")
    return ""


def _no_partition(partition: str) -> int:
    raise ValueError(f"cheetahs has no partition {partition!r}; an agent is a whole cheetah: give --agents N alone")


FAMILIES = {
    family.name: family
    for family in (
        Family(
            name="safe-halfcheetah",
            summary="one half cheetah, its joints shared out among agents, runs behind a moving plate",
            source="HalfCheetah of Safe MAMuJoCo; the robot is Gymnasium's half cheetah",
            partitions=tuple(SINGLE),
            agents_of=fixed_partitions("safe-halfcheetah", SINGLE),
            partition_for=first_with(SINGLE),
            rewards=("team", "local"),
            costs=("team", "local", "legacy", VELOCITY),
            limit=25.0,
            horizon=1000,
            describe=_halfcheetah,
        ),
        Family(
            name="safe-coupled-halfcheetah",
            summary="two half cheetahs, joined by a tendon, run behind a moving plate",
            source="Coupled HalfCheetah of Safe MAMuJoCo and multiagent_mujoco",
            partitions=tuple(COUPLED),
            agents_of=fixed_partitions("safe-coupled-halfcheetah", COUPLED),
            partition_for=first_with(COUPLED),
            rewards=REWARDS,
            costs=("local", "team", "legacy", VELOCITY),
            limit=25.0,
            horizon=1000,
            describe=_coupled,
            takes_coupling=True,
        ),
        Family(
            name="cheetahs",
            summary="N half cheetahs in lanes, each an agent, neighbours joined by tendons, run behind a moving plate",
            source="made for this product from the half cheetah and the tendon of the coupled one",
            partitions=("",),
            agents_of=_no_partition,
            partition_for=_only_a_number,
            rewards=REWARDS,
            costs=("local", "team", VELOCITY),
            limit=25.0,
            horizon=1000,
            describe=_cheetahs,
            takes_coupling=True,
            any_number=(1, MOST),
        ),
    )
}
