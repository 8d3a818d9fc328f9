"""How a configuration is put together, checked, told and hashed."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from scalmarl.launch.config import Config, all_keys, resolve, to_toml
from scalmarl.launch.errors import UsageProblem


def test_later_layers_win_and_origins_say_who_did(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text("[run]\nagents = 3\nkappa = 1\nseed = 5\n[learner]\nclip = 0.1\n")
    config, origins = resolve(file, ("run.kappa=0", "learner.hidden=[32]"), {"run.agents": 4})
    assert (config.run.agents, config.run.kappa, config.run.seed) == (4, 0, 5)
    assert (config.learner.clip, config.learner.hidden) == (0.1, [32])
    assert origins == {
        "run.agents": "flag", "run.kappa": "--set", "run.seed": str(file), "learner.clip": str(file),
        "learner.hidden": "--set",
    }  # fmt: skip
    assert config.world == Config().world


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    config, origins = resolve(None, ("world.limit=[1.0, 2.5]", "learner.initial_std=0.3"), {"run.graph": "grid:2x4"})
    file = tmp_path / "config.toml"
    file.write_text(to_toml(config, origins))
    assert resolve(file, (), {})[0] == config
    assert "grid[:RxC], complete, or a file of edges (flag)\n" in file.read_text()


def test_a_world_s_argument_may_be_a_number_that_json_has_not(tmp_path: Path) -> None:
    arguments = {"a": float("nan"), "b": [float("inf"), -float("inf")], "c": {"d": 1e-7}, "e": "nan", "f": True}
    config, _ = resolve(None, (), {"world.arguments": arguments})
    file = tmp_path / "config.toml"
    file.write_text(to_toml(config))
    assert repr(resolve(file, (), {})[0].world.arguments) == repr(arguments)


@pytest.mark.parametrize(
    "text",
    [
        "😀.edges",
        "é\u2028ß",
        'a "b" \\ c',
        "\x00\x01\x08\t\n\x0b\x0c\r\x1b\x1f",
        "\x7f\x80\x9f",
        "\uffff\U0010ffff",
        "\\u007f",
    ],
)
def test_any_text_is_read_back(text: str, tmp_path: Path) -> None:
    config, _ = resolve(None, (), {"run.graph": text, "world.arguments": {text: [text]}})
    written = to_toml(config, {"run.graph": text})
    found = tomllib.loads(written)
    assert (found["run"]["graph"], found["world"]["arguments"]) == (text, {text: [text]})
    file = tmp_path / "config.toml"
    file.write_text(written, encoding="utf-8")
    assert resolve(file, (), {})[0] == config


def test_a_name_that_no_configuration_can_hold_is_refused() -> None:
    with pytest.raises(UsageProblem, match=r"run.graph \(flag\): './\\udcff.edges' is no UTF-8"):
        resolve(None, (), {"run.graph": "./\udcff.edges"})


def test_every_parameter_is_told_with_its_meaning() -> None:
    text = to_toml(Config())
    for name, field in all_keys().items():
        assert field.description, name
        assert f"# {field.description}\n" in text


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(UsageProblem) as caught:
        resolve(None, ("run.agnets=3", "learner.clip=-1"), {"run.kappa": -2})
    assert "run.agnets (--set): no such key; did you mean 'run.agents'?" in caught.value.what
    assert "learner.clip (--set): Input should be greater than 0, not -1" in caught.value.what
    assert "run.kappa (flag): Input should be greater than or equal to 0, not -2" in caught.value.what
    assert "--help-config" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "what"),
    [("agents = 3\n", "stands outside a section"), ("[run\n", "my.toml"), ("[runs]\nagents = 3\n", "no such key")],
)
def test_a_wrong_file_is_named(text: str, what: str, tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text(text)
    with pytest.raises(UsageProblem, match=what):
        resolve(file, (), {})


@pytest.mark.parametrize(
    ("assignment", "same"),
    [
        ("run.rounds=7", True), ("run.schedule=serial", True), ("world.threads=1", True),
        ("processes.transport=tcp", True), ('processes.links=["0-1:loss=2%"]', True), ("processes.namespace=a", True),
        ("run.seed=1", False), ("run.order=fixed", False),
        ("world.groups=2", False), ("world.envs=16", False), ("learner.clip=0.1", False), ("run.kappa=1", False),
    ],
)  # fmt: skip
def test_the_hash_covers_what_decides_the_numbers_and_nothing_else(assignment: str, same: bool) -> None:
    assert (resolve(None, (assignment,), {})[0].digest() == Config().digest()) is same


def test_defaults_are_json() -> None:
    assert json.loads(json.dumps(Config().model_dump()))["run"]["kappa"] == 2
