"""What the bits of a run depend on is looked up once."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from scalmarl.launch import versions


def test_the_versions_of_packages_are_looked_up_once_and_nobody_can_change_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(versions, "version", lambda name: asked.append(name) or version(name))
    versions._of_packages.cache_clear()
    first = versions.versions()
    assert first["torch"] == version("torch")
    first["torch"] = "changed"
    assert versions.versions()["torch"] == version("torch")
    assert len(asked) == len(set(asked)) > 1
