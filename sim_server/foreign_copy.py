"""One copy of a world from outside, held to the contract: a PettingZoo ``ParallelEnv`` that tells costs.

Whatever breaks the contract raises ``ContractBroken`` with what was wrong, of whom, and how to mend it. Only duck
typing: neither PettingZoo nor Gymnasium is imported here.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scalmarl.sim_server.foreign_names import SHORTCUTS
from scalmarl.sim_server.foreign_spaces import Array, Box, Discrete, read_space

LAST_LINES = 6
"""Of a world's own traceback are repeated."""
NO_COST = "none"
"""What ``--cost`` says where the world has no costs."""


class ContractBroken(Exception):
    """A world did what no world may: ``agent`` is whose fault it is, '' where nobody's in particular."""

    def __init__(self, what: str, agent: str = "") -> None:
        super().__init__(what)
        self.agent = agent


class Told(NamedTuple):
    """What one control step told of every agent: rewards ``[A]``, costs ``[A][m]``, flags ``[A]``."""

    rewards: Array
    costs: list[Array]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]


def open_callable(name: str, directory: str) -> Callable[..., Any]:
    """``module:function``, looked for in ``directory`` first. Raises ``ContractBroken``."""
    module_name, _, function = name.partition(":")
    if directory and directory not in sys.path:
        sys.path.insert(0, directory)
    try:
        module = importlib.import_module(SHORTCUTS.get(module_name, module_name))
    except ModuleNotFoundError as error:
        raise ContractBroken(
            f"there is no module {error.name!r} for {sys.executable} in {directory}; install it there, "
            f"launch from where it lies, or name the world's own interpreter: --world-python PATH"
        ) from None
    except Exception as error:
        raise ContractBroken(f"its module cannot be imported: {last_lines(error)}") from error
    if module_name in SHORTCUTS:
        return lambda **arguments: module.make(function, **arguments)
    found = getattr(module, function, None)
    if not callable(found):
        why = "is not callable" if hasattr(module, function) else "is not there"
        names = ", ".join(name for name in vars(module) if callable(vars(module)[name]) and not name.startswith("_"))
        raise ContractBroken(f"{function!r} {why} in module {module_name}; it has: {names or 'nothing to call'}")
    made: Callable[..., Any] = found
    return made


def last_lines(error: BaseException) -> str:
    """The end of an exception's traceback."""
    lines = "".join(traceback.format_exception(type(error), error, error.__traceback__)).rstrip().splitlines()
    return "\n".join(["", *(f"    {line}" for line in lines[-LAST_LINES:])])


class ForeignCopy:
    """``make(**arguments)`` makes the environment. ``cost``: '' (``infos[agent]["cost"]``), ``NO_COST``, or a function
    ``(env, agent, info) -> cost``. Agents are numbered as in ``possible_agents``.

    ``alive`` ``[A]``: who takes part. ``blocks[i]``: what agent i last observed, flat, with its presence at the end.
    """

    def __init__(self, make: Callable[..., Any], arguments: Mapping[str, Any], cost: Callable[..., Any] | str) -> None:
        self.env = called(make, "making it raised", **arguments)
        if hasattr(self.env, "agent_iter"):
            raise ContractBroken("it is an AECEnv; wrap it in pettingzoo.utils.aec_to_parallel")
        for name in ("possible_agents", "observation_space", "action_space", "reset", "step"):
            if not hasattr(self.env, name):
                raise ContractBroken(f"{type(self.env).__name__} has no {name!r}: it is no ParallelEnv of PettingZoo")
        self.names: tuple[Any, ...] = called(lambda: tuple(self.env.possible_agents), "its possible_agents raised")
        if not self.names or len(set(self.names)) < len(self.names):
            raise ContractBroken(f"its possible_agents are {list(self.names)!r}; name each agent once")
        self._cost = cost
        self._has_state = hasattr(self.env, "local_state")
        self.actions = self._spaces("action_space")
        self.observed = self._spaces("observation_space")
        self.alive: NDArray[np.bool_] = np.zeros(len(self.names), bool)
        self.blocks: list[Array] = []

    # ---- episodes ----

    def reset(self, seed: int) -> None:
        """A new episode, which must be a function of the seed and the actions alone."""
        for name, before in (("action_space", self.actions), ("observation_space", self.observed)):
            for agent, old, now in zip(self.names, before, self._spaces(name)):
                if old.entries("") != now.entries(""):
                    raise ContractBroken(f"its {name} has changed", str(agent))
        returned = called(self.env.reset, "reset raised", seed=seed)
        if not (isinstance(returned, tuple) and len(returned) == 2 and isinstance(returned[0], Mapping)):
            raise ContractBroken("reset returned something else than (observations, infos), as PettingZoo 1.23 has it")
        self.alive = self._living()
        if not self.alive.any():
            raise ContractBroken("it has no agents after reset")
        self.blocks = [np.zeros(self.width(agent)) for agent in range(len(self.names))]
        self._look(returned[0], self.alive)

    def step(self, actions: Sequence[NDArray[np.float32]]) -> Told:
        """One control step of those alive; ``actions[i]`` is what agent i's policy said."""
        acting = self.alive
        joint = {
            name: space.action(sent)
            for name, space, sent, acts in zip(self.names, self.actions, actions, acting)
            if acts
        }
        returned = called(self.env.step, "step raised", joint)
        parts = ("observations", "rewards", "terminations", "truncations", "infos")
        if not (isinstance(returned, tuple) and len(returned) == len(parts)):
            raise ContractBroken(f"step returned something else than ({', '.join(parts)})")
        for part, given in zip(parts, returned):
            if not isinstance(given, Mapping):
                raise ContractBroken(f"step's {part} are a {type(given).__name__}, not a dictionary by agent")
        told = self._read(acting, dict(zip(parts, returned)))
        self._end(acting, told)
        self._look(returned[0], acting | self.alive)
        return told

    def _read(self, acting: NDArray[np.bool_], given: dict[str, Mapping[Any, Any]]) -> Told:
        agents = len(self.names)
        told = Told(np.zeros(agents), [np.zeros(0)] * agents, np.zeros(agents, bool), np.zeros(agents, bool))
        for agent in np.flatnonzero(acting).tolist():
            name = self.names[agent]
            for part in ("rewards", "terminations", "truncations", "infos"):
                if name not in given[part]:
                    raise ContractBroken(f"step returned none of its {part}", str(name))
            told.rewards[agent] = _number(given["rewards"][name], "its reward", str(name))
            told.terminated[agent] = bool(given["terminations"][name])
            told.truncated[agent] = bool(given["truncations"][name])
            told.costs[agent] = self._costs(name, given["infos"][name])
        return told

    def _costs(self, name: Any, info: Any) -> Array:
        if self._cost == NO_COST:
            return np.zeros(1)
        if callable(self._cost):
            cost = called(self._cost, "the function of --cost raised", self.env, name, info)
        elif not isinstance(info, Mapping) or "cost" not in info:
            raise ContractBroken(
                "its info has no 'cost'; put one there, or launch with --cost none, or --cost module:function",
                str(name),
            )
        else:
            cost = info["cost"]
        costs = np.atleast_1d(np.asarray(cost))
        if costs.ndim != 1 or not costs.size or costs.dtype.kind not in "fiub":
            raise ContractBroken(f"its cost is {cost!r}, neither a number nor a vector of them", str(name))
        if not np.isfinite(costs).all():
            raise ContractBroken("its cost is not finite", str(name))
        return costs.astype(np.float64)

    def _end(self, acting: NDArray[np.bool_], told: Told) -> None:
        living, flagged = self._living(), told.terminated | told.truncated
        vanished = np.flatnonzero(acting & ~living & ~flagged)
        if len(vanished):
            name = str(self.names[int(vanished[0])])
            raise ContractBroken("it left env.agents without being terminated or truncated", name)
        self.alive = living & ~flagged

    def _living(self) -> NDArray[np.bool_]:
        living = called(lambda: list(self.env.agents), "its agents cannot be read")
        strangers = [name for name in living if name not in self.names]
        if strangers:
            raise ContractBroken("it is among env.agents, but not among possible_agents", str(strangers[0]))
        return np.array([name in living for name in self.names])

    # ---- observations ----

    def width(self, agent: int) -> int:
        """Numbers in an agent's block: those of its observation, or of ``env.local_state(agent)``, and its presence."""
        return self._entries(agent) + 1

    def entries(self, agent: int) -> tuple[str, ...]:
        """Their names, but for the presence."""
        if self._has_state:
            return tuple(f"local state {number}" for number in range(self._entries(agent)))
        return self.observed[agent].entries("observation")

    def _entries(self, agent: int) -> int:
        if not self._has_state:
            return self.observed[agent].size
        return int(np.asarray(called(self.env.local_state, "local_state raised", self.names[agent])).size)

    def _look(self, observations: Mapping[Any, Any], whose: NDArray[np.bool_]) -> None:
        """New blocks of those who act or live; a dead agent's stays what it was, with presence 0."""
        for agent, name in enumerate(self.names):
            if whose[agent] and (self._has_state or name in observations):
                self.blocks[agent] = np.append(self._observed(agent, observations), 1.0)
            elif self.alive[agent]:
                raise ContractBroken("it was given no observation", str(name))
            elif not whose[agent]:
                self.blocks[agent][-1] = 0.0

    def _observed(self, agent: int, observations: Mapping[Any, Any]) -> Array:
        name = self.names[agent]
        try:
            if not self._has_state:
                return self.observed[agent].flatten(observations[name])
            state = called(self.env.local_state, "local_state raised", name)
            return Box(np.shape(state), np.dtype(float), np.zeros(0), np.zeros(0)).flatten(state)
        except ValueError as error:
            what = "local state" if self._has_state else "observation"
            raise ContractBroken(f"its {what} {error}", str(name)) from None

    def picture(self) -> NDArray[np.uint8]:
        """``[height, width, 3]``: what ``env.render()`` draws."""
        if not hasattr(self.env, "render"):
            raise ContractBroken("it has no render(), so it cannot be filmed")
        drawn = called(self.env.render, "render raised")
        pixels: NDArray[Any] = np.asarray(drawn)
        shape: tuple[int, ...] = pixels.shape
        if len(shape) != 3 or shape[2] not in (3, 4) or pixels.dtype != np.uint8 or not pixels.size:
            told = "nothing" if drawn is None else f"an array of {pixels.dtype} {list(shape)}"
            raise ContractBroken(
                f"its render() gives {told}; under render_mode='rgb_array' it must give uint8 [height, width, 3]"
            )
        colours: NDArray[np.uint8] = pixels[:, :, :3]
        return colours

    def _spaces(self, which: str) -> tuple[Box | Discrete, ...]:
        spaces = []
        for name in self.names:
            space = called(getattr(self.env, which), f"{which} raised", name)
            try:
                spaces.append(read_space(space, f"its {which}"))
            except ValueError as error:
                raise ContractBroken(str(error), str(name)) from None
        return tuple(spaces)


def called(function: Callable[..., Any], what: str, *arguments: Any, **named: Any) -> Any:
    """What a world's own code returns. Raises ``ContractBroken``: whatever it raises is its author's to mend."""
    try:
        return function(*arguments, **named)
    except ContractBroken:
        raise
    except Exception as error:
        raise ContractBroken(f"{what}: {last_lines(error)}") from error


def _number(value: Any, what: str, agent: str) -> float:
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "fiub":
        raise ContractBroken(f"{what} is {value!r}, not a number", agent)
    if not np.isfinite(array).all():
        raise ContractBroken(f"{what} is not finite", agent)
    return float(array.reshape(()))
