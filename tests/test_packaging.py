"""What is installed is what stands in the repository."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

import scalmarl

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FOLDERS = ("agents", "coordinator", "launch", "protocol", "sim_server")


def test_every_folder_with_code_is_in_the_list_of_packages() -> None:
    found = {"scalmarl"}
    for folder in FOLDERS:
        for init in sorted((ROOT / folder).rglob("__init__.py")):
            found.add("scalmarl." + ".".join(init.parent.relative_to(ROOT).parts))
        for module in (ROOT / folder).rglob("*.py"):
            assert (module.parent / "__init__.py").exists(), f"{module} would not be installed"
    tool = PROJECT["tool"]["setuptools"]
    assert set(tool["packages"]) == set(tool["package-dir"]) == found


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_links_lead_to_the_folders(folder: str) -> None:
    link = ROOT / "scalmarl" / folder
    assert link.is_symlink()
    assert str(link.readlink()) == f"../{folder}"


def test_versions_agree() -> None:
    assert f"version: {scalmarl.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"## {scalmarl.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_dependency_has_one_exact_version_in_the_constraints() -> None:
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line)
    names = {name.lower().replace("_", "-") for name in pinned}
    wanted = [*PROJECT["project"]["dependencies"]]
    for extra, requirements in PROJECT["project"]["optional-dependencies"].items():
        wanted += requirements if extra not in ("all", "ray") else []
    for requirement in wanted:
        name = requirement.partition(">")[0].strip().lower()
        assert name in names, f"{name} is not pinned"
    assert pinned["torch"] == "2.13.0"


def test_the_readme_has_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for command in (
        "python3 -m venv .venv && .venv/bin/pip install -c constraints.txt '.[all]' && "
        ".venv/bin/scalmarl launch --agents 8 --kappa 2",
        "python3 -m venv .venv && .venv/bin/pip install -c constraints.txt -e '.[all,dev]' && "
        ".venv/bin/python -m pytest",
    ):
        assert command in readme
