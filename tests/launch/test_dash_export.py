"""The page as one file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from scalmarl.launch.cli import main
from scalmarl.launch.dash import export as dash_export
from scalmarl.launch.dash.data import PageData
from scalmarl.launch.errors import NoSuchRun
from scalmarl.launch.run_directory import RunDirectory

from .page_references import References

pytest.importorskip("starlette", reason="the page needs starlette (the extra 'web')")
pytest.importorskip("uvicorn", reason="the page needs uvicorn (the extra 'web')")


def test_the_exported_page_holds_everything_and_loads_nothing(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = "data:image/jpeg;base64,"
    monkeypatch.setattr(dash_export, "_picture", lambda run, data: {"round": 1, "url": picture})
    path = tmp_path / "page.html"
    said = CliRunner().invoke(main, ["dash", "--run", str(run.path), "--export", str(path)])
    assert said.exit_code == 0, said.output
    page = path.read_text()
    assert all(reference.startswith(("#", "data:")) for reference in References.of(page))
    assert "default-src 'none'" in page
    assert "connect-src" not in page
    stored = page.partition('id="stored">')[2].partition("</script>")[0]
    document = json.loads(stored)
    assert document["news"] == json.loads(json.dumps(PageData(run).news()))
    assert document["status"]["state"] == "finished"
    assert "committed: round" in document["logs"]["agent/2"]["text"]
    for name in ("uPlot", "cytoscape"):
        assert f"{name}=" in page or f"{name} =" in page or f".{name}" in page


def test_nothing_that_a_run_says_ends_the_element_that_it_stands_in() -> None:
    evil = {"x": "</script><script>alert(1)</script><!--"}
    page = dash_export.page_with(evil)
    assert "alert(1)</script>" not in page
    assert json.loads(page.partition('id="stored">')[2].partition("</script>")[0]) == evil


@pytest.mark.parametrize("name", ["missing/page.html", "."])
def test_a_place_that_cannot_be_written_is_told(run: RunDirectory, tmp_path: Path, name: str) -> None:
    said = CliRunner().invoke(main, ["dash", "--run", str(run.path), "--export", str(tmp_path / name)])
    assert said.exit_code == 2
    assert "--export" in said.output


def test_a_damaged_configuration_is_told(run: RunDirectory, tmp_path: Path) -> None:
    other = RunDirectory(tmp_path / "other")
    shutil.copytree(run.path, other.path)
    other.config.write_text("[run\n")
    with pytest.raises(NoSuchRun, match=r"config\.toml cannot be read"):
        PageData(other).about()


def test_the_stored_libraries_are_those_of_the_manifest() -> None:
    import hashlib

    vendor = dash_export.PAGE / "vendor"
    packages = json.loads((vendor / "manifest.json").read_text())
    files = {name: entry["sha256"] for package in packages for name, entry in package["files"].items()}
    assert {path.name for path in vendor.iterdir()} == {*files, "manifest.json"}
    assert {name: hashlib.sha256((vendor / name).read_bytes()).hexdigest() for name in files} == files
    assert all(f"{package['files']}".count("LICENSE") >= 1 for package in packages)
