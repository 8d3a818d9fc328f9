"""A small world from outside that imports numpy alone: unequal agents, deaths, several costs, and faults on demand.

Agent i walks on a line; the ``scout`` chooses of three moves, the others push by real numbers. An agent beyond 2 is
terminated and leaves; who is left after ``length`` steps is truncated.
"""

from pathlib import Path

import numpy as np


class Box:
    def __init__(self, low, high, shape):
        self.low, self.high, self.shape, self.dtype = np.full(shape, low), np.full(shape, high), shape, np.dtype("f4")


class Discrete:
    def __init__(self, n, start=0):
        self.n, self.start = n, start


class Patrol:
    metadata = {"cost_limits": {"scout": (3, 4), "guard": 5.0, "cook": 6}, "nonlocal": ()}  # noqa: RUF012

    def __init__(self, length=12, fault="", at=3, mended=""):
        self.possible_agents = ["scout", "guard", "cook"]
        self.max_steps = self._length = length
        self._fault, self._at = ("" if mended and Path(mended).exists() else fault), at
        self._steps = 0

    def neighbour_graph(self):
        if self._fault == "broken graph":
            return {}["the scout's"]
        if self._fault == "no graph":
            return None
        return [("scout", "guard"), ("guard", "cook")] + ([("cook", "owl")] if self._fault == "strange graph" else [])

    def observation_space(self, agent):
        wide = 3 if self._fault == "changed space" and self._steps > self._at else 2
        return {"scout": Box(-9.0, 9.0, (wide,)), "guard": Discrete(4, start=1), "cook": Box(-9.0, 9.0, (2, 2))}[agent]

    def action_space(self, agent):
        return Discrete(3, start=-1) if agent == "scout" else Box(-0.5, 1.0, (1,))

    def reset(self, seed=None, options=None):
        self._draw = np.random.default_rng(None if self._fault == "chance" else seed)
        self.agents, self._steps = self.possible_agents[:], 0
        self.place = dict(zip(self.agents, self._draw.uniform(-0.5, 0.5, 3)))
        return {agent: self._seen(agent) for agent in self.agents}, {agent: {} for agent in self.agents}

    def step(self, actions):
        assert set(actions) == set(self.agents), "only those alive act"
        self._steps += 1
        broken = self._fault if self._steps >= self._at else ""
        if broken == "raise":
            raise ZeroDivisionError("the scout divided by nothing")
        acting, over = self.agents, self._steps >= self._length
        for agent in acting:
            self.place[agent] += 0.4 * float(np.asarray(actions[agent]).reshape(())) + 0.1 * self._draw.normal()
        gone = {agent: abs(self.place[agent]) > 2 for agent in acting}
        cut = {agent: over and not gone[agent] for agent in acting}
        rewards = {agent: -abs(self.place[agent]) for agent in acting}
        infos = {agent: {"cost": float(self.place[agent] > 0)} for agent in acting}
        if "scout" in infos:
            infos["scout"]["cost"] = [float(self.place["scout"] > 0), float(self.place["scout"] < 0)]
        self.agents = [agent for agent in acting if not gone[agent] and not cut[agent]]
        seen = {agent: self._seen(agent) for agent in acting}
        if broken == "no cost":
            del infos["cook"]["cost"]
        elif broken == "infinite reward":
            rewards["guard"] = np.inf
        elif broken == "nan":
            seen["cook"][0, 1] = np.nan
        elif broken == "shape":
            seen["scout"] = seen["scout"][:1]
        elif broken == "choice":
            seen["guard"] = 7
        elif broken == "stranger":
            self.agents.append("owl")
        elif broken == "vanish":
            self.agents.remove("guard")
        elif broken == "more costs":
            infos["guard"]["cost"] = [0.0, 0.0]
        elif broken == "no observation":
            del seen["scout"]
        elif broken == "four values":
            return seen, rewards, gone, infos
        return seen, rewards, gone, cut, infos

    def _seen(self, agent):
        place = self.place[agent]
        if agent == "guard":
            return 1 + int(np.clip(place + 2, 0, 3))
        return (
            np.array([place, self._steps], "f4") if agent == "scout" else np.array([[place, 1], [2, self._steps]], "f4")
        )


class DrawnPatrol(Patrol):
    """Draws itself without any library: a column for each agent, where it is."""

    def __init__(self, render_mode=None, **arguments):
        super().__init__(**arguments)
        self._render_mode = render_mode

    def render(self):
        if self._render_mode != "rgb_array":
            return None
        picture = np.full((41, 60, 3), 30, "u1")
        for number, agent in enumerate(self.possible_agents):
            row = int(np.clip(20 + 8 * self.place[agent], 0, 40))
            picture[row, 20 * number : 20 * number + 20] = 250
        return picture


class SavedPatrol(Patrol):
    def save_state(self):
        import json

        state = [self._steps, self.agents, self.place, self._draw.bit_generator.state]
        return json.dumps(state).encode()

    def load_state(self, content):
        import json

        self._steps, self.agents, self.place, self._draw.bit_generator.state = json.loads(content)


def shared_cost(env, agent, info):
    """For --cost: what everybody's places sum to, if that is much."""
    return float(sum(env.place.values()) > 1)


class Lonely(Patrol):
    neighbour_graph = property()


class Forgetful(Patrol):
    """It does not know its agents."""

    def reset(self, seed=None, options=None):
        told = super().reset(seed)
        del self.agents
        return told


class GraphPatrol(Patrol):
    """Its neighbours as a networkx graph; without the cook where it is to be wrong."""

    def neighbour_graph(self):
        import networkx

        graph = networkx.path_graph(self.possible_agents)
        if self._fault == "no cook":
            graph.remove_node("cook")
        elif self._fault == "owl":
            graph.add_node("owl")
        return graph


class LocalPatrol(Patrol):
    def local_state(self, agent):
        return np.array([self.place[agent], 2.0, 3.0])


class Unsaved(SavedPatrol):
    """Its author's saving is at fault, or its loading."""

    fault = "save"

    def save_state(self):
        return super().save_state() if self.fault == "load" else {}["place"]

    def load_state(self, content):
        raise KeyError("place")


class Unloaded(Unsaved):
    fault = "load"
