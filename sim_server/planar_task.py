"""What the descriptions of hopper and walker share: what is told of a planar torso. No MuJoCo."""

from __future__ import annotations

CONTROL_DT = 0.008
TORSO_ENTRIES = (
    "height z (m)",
    "pitch (rad)",
    "velocity x (m/s)",
    "velocity z (m/s)",
    "pitch rate (rad/s)",
)


def nonlocal_facts(reward: str, cost: str) -> tuple[str, ...]:
    """What a fall and the one torso make of locality."""
    facts = [
        "a fall of the body ends the episode for every agent",
        "the torso is one body: its height, pitch and velocity show in every block, whatever kappa",
    ]
    facts.append(
        "every agent is given the team reward"
        if reward == "team"
        else "the torso's speed is in every agent's reward, each with an equal share"
    )
    if cost != "local":
        facts.append("the cost is the torso's: one number, given to every agent")
    return tuple(facts)


def standing_still(horizon: int, falls_at: int, slides: float) -> tuple[float, float, float]:
    """Return, cost and distance of zero action, which tips over ever faster: 1 a step and the speed."""
    steps = min(horizon, falls_at)
    slide = slides * (steps / falls_at) ** 3
    return steps + slide / CONTROL_DT, 0.0, slide
