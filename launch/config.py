"""Every parameter, its default, its meaning and its bounds, in one place; and how a run's configuration is put
together.

Later wins: defaults, the file of ``--config``, ``--set section.key=value``, named flags. pydantic reports all mistakes
of a file at once; unknown keys are errors with the nearest name.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from scalmarl.agents.algorithms import ALGORITHMS, CostTerms, Factor, Radius, RewardTerms, Switches
from scalmarl.launch.errors import UsageProblem

SEEDS = 2**63
"""Every seed is smaller."""

DEFAULT_ROUNDS = 100
"""Three to four minutes on two cores with the other defaults."""

Positive = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A section of the configuration: no unknown keys, no silent conversions."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class RunConfig(Section):
    """Who takes part, and for how long."""

    algo: str = Field("scal-mappo-l", description=f"algorithm: {', '.join(ALGORITHMS)}; see docs/algorithms.md")
    agents: Positive | None = Field(None, description="agents, each its own process; default: the partition's, else 8")
    kappa: int = Field(2, ge=0, description="radius of a neighbourhood; not used by algorithms that hear all or nobody")
    kappa_unit: Literal["hops", "visible"] = Field(
        "hops",
        description="what kappa counts: graph hops, or visible agents including oneself as in the paper's tables",
    )
    graph: str = Field("task", description="task, path, ring, star, grid[:RxC], complete, or a file of edges")
    seed: int = Field(0, ge=0, lt=SEEDS, description="seed of every random stream")
    rounds: Positive = Field(DEFAULT_ROUNDS, description="collect-and-update cycles")
    order: Literal["colour", "permutation", "fixed"] = Field("colour", description="order of turns in a round")
    schedule: Literal["wavefront", "serial"] = Field(
        "wavefront", description="who waits for whom: predecessors inside kappa hops, or all; the bits are the same"
    )
    on_loss: Literal["wait", "mask"] = Field(
        "wait", description="an agent that is away: wait for it, or go on without it until it is back (other bits)"
    )


class WorldConfig(Section):
    """The physics and its task."""

    task: str = Field(
        "safe-manyant",
        description="task, NAME or NAME:PARTITION (scalmarl env list), or a world of your own, MODULE:FUNCTION",
    )
    python: str | None = Field(None, description="interpreter of a world of your own; default: this one")
    directory: str | None = Field(None, description="where its module is looked for; default: where launch was called")
    arguments: dict[str, Any] = Field({}, description="keyword arguments of its FUNCTION")
    envs: Positive = Field(32, description="copies of the world, stepped together")
    groups: Positive = Field(1, description="groups of copies stepped in turn, so that physics and policies overlap")
    steps: Positive = Field(128, description="control steps of each copy per round")
    horizon: Positive | None = Field(None, description="control steps of an episode; default: the task's")
    reward: str | None = Field(
        None, description="local (own share) or team (the team's to everybody); default: the task's"
    )
    cost: str | None = Field(
        None,
        description="local (own), team (the team's to everybody), legacy (as published) or velocity; of your own world "
        "also none, or MODULE:FUNCTION; default: the task's",
    )
    limit: float | list[float | list[float]] | None = Field(
        None, description="cost limit per episode: one, or one per agent; default: the task's"
    )
    physics: str = Field("fast", description="fast (implicitfast integrator) or parity (the published one)")
    coupling: float | None = Field(
        None, description="stiffness of the tendons between robots, N/m; 0 for none; default: the task's"
    )
    threads: Positive = Field(2, description="physics threads; they change no bit")


class LearnerConfig(Section):
    """How an agent learns. Sources and measurements: docs/decisions/0004-learning-settings.md."""

    factor: Factor | None = Field(
        None,
        description="neighbourhood: multiply by the ratios of the predecessors heard; none; default: the algorithm's",
    )
    cost_terms: CostTerms | None = Field(
        None, description="whose costs the advantage charges: neighbourhood, own, none; default: the algorithm's"
    )
    reward_terms: RewardTerms | None = Field(
        None, description="whose reward advantages are summed: neighbourhood, own, team; default: the algorithm's"
    )
    radius: Radius | None = Field(
        None,
        description="what bounds a step besides kl_max: ledger (neighbours' slack), exact (the theorem's "
        "constants), off; default: the algorithm's",
    )
    accept: bool | None = Field(
        None,
        description="keep the old policy unless a lower bound of the gain exceeds truncation_error; default: the "
        "algorithm's",
    )
    hidden: list[Positive] = Field([64, 64], min_length=1, description="widths of the hidden layers")
    initial_std: Rate | None = Field(None, description="initial deviation of the policy; default: the task's")
    policy_lr: Rate = Field(1e-3, description="Adam step size of the policy")
    critic_lr: Rate = Field(1e-3, description="Adam step size of every critic")
    policy_epochs: Positive = Field(5, description="passes over the round's samples per turn")
    critic_epochs: Positive = Field(5, description="passes over the round's samples per critic")
    minibatches: Positive = Field(4, description="minibatches per pass")
    clip: Rate = Field(0.2, description="epsilon of the clipped ratio (Eq. 20)")
    kl_max: Rate = Field(0.02, description="largest mean KL of one turn, nats; a step beyond it is taken back")
    kl_min: float = Field(
        0.005, ge=0, description="least radius that the ledger leaves; where it binds, the ledger's promise is void"
    )
    truncation_error: float = Field(0.0, ge=0, description="what the gain must exceed in the accept test")
    cost_truncation_error: float = Field(
        0.0, ge=0, description="discounted cost that agents out of hearing may add; radius exact takes it off the slack"
    )
    cg_iterations: Positive = Field(10, description="conjugate-gradient iterations of macpo's step")
    cg_damping: float = Field(0.1, ge=0, description="added to the diagonal of macpo's Fisher matrix")
    gradient_norm: Rate = Field(0.5, description="largest norm of a gradient")
    gamma: Fraction = Field(0.99, description="discount of reward and costs")
    gae_lambda: Fraction = Field(0.95, description="lambda of generalised advantage estimation")
    log_factor_limit: Rate = Field(1.5, description="clamp of the predecessors' summed log-ratio")
    observation_limit: Rate = Field(5.0, description="clip of normalised inputs, deviations")
    value_weight: Fraction = Field(0.1, description="weight of a round in the value statistics")
    value_std_floor: Rate = Field(0.01, description="least deviation of the value statistics")
    cost_std_floor: Rate = Field(0.05, description="least deviation that a cost advantage is divided by")
    multiplier_start: float = Field(0.0, ge=0, description="multiplier before the first round, if the update has one")
    multiplier_rate: Rate = Field(0.05, description="multiplier step per 4,096 samples")
    multiplier_max: Rate = Field(100.0, description="largest multiplier")


class ProcessesConfig(Section):
    """How processes are run; none of it changes a bit of the result, but for ``loss_after_s``, which has a say in when
    an agent is absent (the commit log tells)."""

    transport: Literal["ipc", "tcp"] = Field("ipc", description="links between processes")
    address: str | list[str] | None = Field(
        None,
        description="with tcp, the IPv4 address that an inbox binds to: one text, in which {number} counts agents, sim "
        "and coordinator from 1, or one per process in this order; default: 127.0.0.1",
    )
    namespace: str | list[str] | None = Field(
        None,
        description="with tcp, the network namespace that a process enters (ip netns; needs root), in the same form; "
        "default: the launcher's",
    )
    links: list[str] = Field(
        [], description="bad links, each like 1-2:delay=50ms,loss=2%,cut=10s-20s; see docs/links.md"
    )
    stall_kill_s: Rate = Field(15.0, description="seconds of silence after which a process is killed and restarted")
    loss_after_s: Rate = Field(5.0, description="under on_loss mask: seconds that an agent is away before it is absent")


_DECIDES_NOTHING: dict[str, Any] = {
    "processes": True,
    "run": {"rounds", "schedule"},
    "world": {"threads", "python", "directory"},
}


class Config(Section):
    """A whole configuration."""

    run: RunConfig = RunConfig()
    world: WorldConfig = WorldConfig()
    learner: LearnerConfig = LearnerConfig()
    processes: ProcessesConfig = ProcessesConfig()

    def digest(self) -> str:
        """Hash of all that decides the numbers: not rounds, schedule, threads, places or processes."""
        data = self.model_dump(exclude=_DECIDES_NOTHING)
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def decides_bits(name: str) -> bool:
    """Whether ``section.key`` is among what ``Config.digest`` covers."""
    section, _, key = name.partition(".")
    left_out = _DECIDES_NOTHING.get(section, ())
    return left_out is not True and key not in left_out


SWITCHES = tuple(field.name for field in dataclasses.fields(Switches) if field.name in LearnerConfig.model_fields)
"""What an algorithm is made of and can be chosen apart, as keys of ``[learner]``; None there: the algorithm's own."""
SWITCH_KEYS = tuple(f"learner.{name}" for name in SWITCHES)

Origins = dict[str, str]
"""``section.key`` -> where its value came from."""


def resolve(file: Path | None, assignments: tuple[str, ...], flags: dict[str, Any]) -> tuple[Config, Origins]:
    """Defaults, file, ``--set`` and flags (``section.key`` -> value), merged and checked. Raises ``UsageProblem``."""
    values: dict[str, dict[str, Any]] = {}
    origins: Origins = {}
    told, chosen = _read_file(file) if file else {}, _parse_assignments(assignments)
    algo = {**told, **chosen, **flags}.get("run.algo")
    if algo != told.get("run.algo"):
        # The switches that a run's config.toml has written out are those of its algorithm, not of another.
        told = {name: value for name, value in told.items() if name not in SWITCH_KEYS}
    for origin, layer in ((str(file), told), ("--set", chosen), ("flag", flags)):
        for name, value in layer.items():
            section, _, key = name.partition(".")
            values.setdefault(section, {})[key] = value
            origins[name] = origin
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        raise UsageProblem(
            "; ".join(_explain(mistake, origins) for mistake in error.errors()),
            "see every key with its meaning and default: scalmarl launch --help-config",
        ) from None
    _check_text(config, origins)
    return config, origins


def _check_text(config: Config, origins: Origins) -> None:
    """File names may hold any bytes, a run's ``config.toml`` may not. Raises ``UsageProblem``."""
    for name, origin in origins.items():
        section, _, key = name.partition(".")
        value = getattr(getattr(config, section), key)
        try:
            f"{_toml(value)}{origin}".encode()
        except UnicodeEncodeError:
            raise UsageProblem(f"{name} ({origin}): {value!r} is no UTF-8", "rename it, or write it in UTF-8") from None


def _read_file(path: Path) -> dict[str, Any]:
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageProblem(
            f"configuration file {path}: {error}", "write TOML with sections [run], [world], ..."
        ) from None
    layer = {}
    for section, entries in data.items():
        if not isinstance(entries, dict):
            raise UsageProblem(
                f"configuration file {path}: {section!r} stands outside a section", "put it under [run], [world], ..."
            )
        layer.update({f"{section}.{key}": value for key, value in entries.items()})
    return layer


def _parse_assignments(assignments: tuple[str, ...]) -> dict[str, Any]:
    layer: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or "." not in name:
            raise UsageProblem(f"--set {assignment!r} is not section.key=value", "for example --set learner.clip=0.1")
        layer[name.strip()] = read_value(text)
    return layer


def read_value(text: str) -> Any:
    """A TOML value, or else the text itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


def _explain(mistake: Any, origins: Origins) -> str:
    place = ".".join(str(part) for part in mistake["loc"] if not isinstance(part, int))
    name = ".".join(place.split(".")[:2])
    where = origins.get(name, "configuration")
    if mistake["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, all_keys(), 1, 0.5)
        return f"{name} ({where}): no such key" + (f"; did you mean {near[0]!r}?" if near else "")
    given = f", not {mistake['input']!r}" if not isinstance(mistake["input"], dict) else ""
    return f"{name} ({where}): {mistake['msg']}{given}"


def all_keys() -> dict[str, Any]:
    """``section.key`` -> pydantic field, of every parameter."""
    return {
        f"{section}.{key}": field
        for section, part in Config.model_fields.items()
        for key, field in part.annotation.model_fields.items()  # type: ignore[union-attr]
    }


def _toml(value: Any) -> str:
    """A value as TOML has it: all but tables, numbers and DEL are as in JSON."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml(name)} = {_toml(item)}" for name, item in value.items()) + "}"
    if isinstance(value, float):
        # TOML's own words for what JSON has none for: nan, inf.
        return repr(value)
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    # JSON escapes what lies beyond 16 bits as two surrogates, which TOML forbids, and leaves DEL as it is.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def to_toml(config: Config, origins: Origins | None = None) -> str:
    """A configuration as TOML that ``--config`` reads back, each key under its meaning."""
    lines: list[str] = []
    fields = all_keys()
    for section, part in config:
        lines.append(f"[{section}]")
        for key, value in part:
            name = f"{section}.{key}"
            origin = f" ({_toml(origins[name])[1:-1]})" if origins and name in origins else ""
            text = _toml(value) if value is not None else None
            lines.append(f"# {fields[name].description}{origin}")
            lines.append(f"{key} = {text}" if text is not None else f"# {key} =")
        lines.append("")
    return "\n".join(lines)
