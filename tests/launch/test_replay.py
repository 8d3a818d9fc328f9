"""``scalmarl replay``: a film that can be read back, or two lines that say why there is none."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from scalmarl.launch.errors import UserProblem
from scalmarl.launch.film_file import Caption, Film, require_film

Run = Callable[..., "subprocess.CompletedProcess[str]"]
RED = np.array([242, 10, 10], np.uint8)


def needs(*modules: str) -> None:
    for module in modules:
        pytest.importorskip(module, reason=f"{module} comes with the extra 'video'")


def pictures(count: int, height: int, width: int) -> list[NDArray[np.uint8]]:
    """A bright bar that goes from left to right over a dark ground."""
    found = []
    for number in range(count):
        pixels = np.full((height, width, 3), 40, np.uint8)
        pixels[:, 4 * number : 4 * number + 8] = RED
        found.append(pixels)
    return found


@pytest.mark.parametrize("size", [(48, 64), (49, 65)], ids=["even", "odd"])
def test_an_mp4_has_every_picture_at_its_rate(tmp_path: Path, size: tuple[int, int]) -> None:
    needs("av", "PIL")
    import av

    path = tmp_path / "film.mp4"
    with Film(path, 20) as film:
        for pixels in pictures(10, *size):
            film.add(pixels)
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert container.streams.video[0].average_rate == 20
    assert len(frames) == 10
    assert frames[0].shape == (48 + 2 * (size[0] % 2), 64 + 2 * (size[1] % 2), 3)
    bar = frames[5][20, 20:28].astype(int).mean(axis=0)
    assert bar[0] > 150 > 100 > bar[1]
    assert list(tmp_path.iterdir()) == [path]


def test_a_gif_keeps_colours_that_come_late_and_its_time(tmp_path: Path) -> None:
    needs("PIL")
    from PIL import Image

    path = tmp_path / "film.gif"
    dull = [np.full((40, 60, 3), 90 + number, np.uint8) for number in range(20)]
    with Film(path, 30) as film:
        for pixels in [*dull, *pictures(10, 40, 60)]:
            film.add(pixels)
    with Image.open(path) as image:
        lasts = []
        # Pictures that look alike are one that lasts longer.
        for number in range(image.n_frames):
            image.seek(number)
            lasts.append(image.info["duration"])
        shown = np.asarray(image.convert("RGB"))[20, 40]
    assert sum(lasts) == 1000
    assert np.abs(shown.astype(int) - RED).max() < 12


@pytest.mark.parametrize("name", ["film.mp4", "film.gif"])
def test_an_interrupted_film_leaves_nothing_and_the_old_one_in_place(tmp_path: Path, name: str) -> None:
    needs("av", "PIL")
    path = tmp_path / name
    path.write_bytes(b"old")

    def interrupted() -> None:
        with Film(path, 10) as film:
            film.add(pictures(1, 32, 32)[0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"old"


def test_a_caption_has_a_cell_of_each_agents_colour_and_even_sides() -> None:
    needs("PIL")
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]
    pixels = np.full((50, 321, 3), 77, np.uint8)
    whole = Caption(321, colours).below(pixels, ["step 3", "each:"], ["0", "12!", "3/4"], [False, True, False])
    assert whole.shape[0] % 2 == 0
    np.testing.assert_array_equal(whole[:50, :321], pixels)
    strip = whole[50:].reshape(-1, 3)
    for colour in colours:
        assert (strip == colour).all(axis=1).sum() > 20


@pytest.mark.parametrize(
    ("name", "what"), [("film.avi", "neither .mp4 nor .gif"), ("nowhere/film.mp4", "nowhere is no directory")]
)
def test_a_wrong_name_is_told_before_anything_is_played(tmp_path: Path, name: str, what: str) -> None:
    with pytest.raises(UserProblem, match=what) as told:
        require_film(tmp_path / name)
    assert told.value.code == 2


def test_a_run_is_filmed_or_the_lack_of_a_library_is_code_4(calm: Any, scalmarl: Run, tmp_path: Path) -> None:
    needs("av", "PIL")
    import av

    path = tmp_path / "film.mp4"
    small = ("--seconds", "0.5", "--fps", "10", "--width", "160", "--height", "90", "--agent", "1")
    without = scalmarl("replay", str(calm.path), "-o", str(path), env={"MUJOCO_GL": "disabled"})
    assert without.returncode == 4
    assert "no graphics library works here" in without.stderr
    assert "apt-get install" in without.stderr
    assert not list(tmp_path.iterdir())
    answer = scalmarl("replay", str(calm.path), "-o", str(path), *small)
    if answer.returncode == 4:
        assert not list(tmp_path.iterdir())
        pytest.skip(answer.stderr)
    assert answer.returncode == 0, answer.stderr
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 5
    assert frames[0].shape[1] == 160
    assert len(np.unique(frames[0][:90].reshape(-1, 3), axis=0)) > 100, "it shows something"


def test_an_agent_that_is_not_there(calm: Any, scalmarl: Run, tmp_path: Path) -> None:
    needs("av", "PIL")
    answer = scalmarl("replay", str(calm.path), "-o", str(tmp_path / "film.mp4"), "--agent", "3")
    assert answer.returncode == 2
    assert "has no agent 3" in answer.stderr
    assert "--agent 0 to 2" in answer.stderr
