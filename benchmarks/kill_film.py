"""A film of the page while an agent is killed and comes back: ``python -m benchmarks.kill_film OUT.gif``.

A real run, its real page in a headless Chromium, `scalmarl kill` and `scalmarl restart`, a picture twice a second. It
needs the extras 'web' and 'video', playwright, and a Chromium.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from scalmarl.launch.run_directory import RunDirectory

AGENT = "5"
RUN = ("--agents", "8", "--kappa", "2", "--envs", "16", "--steps", "64", "--rounds", "400")
BEGIN_AT, SHOW_S, DOWN_S, AFTER_S = 12, 3.0, 5.0, 7.0
EVERY_S = 0.5
VIEW = {"width": 1280, "height": 830}
SHRUNK = (832, 540)
COLOURS = 96
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    out: Path = parser.parse_args().out
    with tempfile.TemporaryDirectory() as scratch:
        run = RunDirectory(Path(scratch) / "run")
        pictures = list(_filmed(run))
        scalmarl("stop", "--run", str(run.path))
    # One palette from all over the film, by octants: the dead agent's red is small, and only there for a while.
    width, height = SHRUNK
    strip = Image.new("RGB", (width, height * len(pictures)))
    for number, picture in enumerate(pictures):
        strip.paste(picture, (0, number * height))
    palette = strip.quantize(COLOURS, method=Image.Quantize.FASTOCTREE)
    first, *others = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    first.save(out, save_all=True, append_images=others, duration=int(1000 * EVERY_S), loop=0, optimize=True)
    print(f"{out}: {len(pictures)} pictures, {out.stat().st_size / 1000:,.0f} kB")


def _filmed(run: RunDirectory) -> Iterator[Image.Image]:
    scalmarl("launch", *RUN, "--run", str(run.path), "-d")
    while run.read_state()["round"] < BEGIN_AT:
        time.sleep(0.2)
    page_server = subprocess.Popen(
        [sys.executable, "-m", "scalmarl", "dash", "--run", str(run.path)], stdout=subprocess.PIPE, text=True
    )
    assert page_server.stdout is not None
    address = re.search(r"http://\S+", page_server.stdout.readline())
    assert address is not None
    try:
        with sync_playwright() as playwright:
            chromium = shutil.which("chromium") or shutil.which("google-chrome")
            browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
            page = browser.new_page(viewport=VIEW)  # type: ignore[arg-type]
            page.goto(address[0])
            page.wait_for_selector('body[data-drawn]:not([data-drawn="0"])')
            yield from _watched(page, SHOW_S)
            scalmarl("kill", AGENT, "--run", str(run.path))
            yield from _watched(page, DOWN_S)
            scalmarl("restart", AGENT, "--run", str(run.path))
            yield from _watched(page, AFTER_S)
            browser.close()
    finally:
        page_server.terminate()
        page_server.wait()


def _watched(page: Page, seconds: float) -> Iterator[Image.Image]:
    for _ in range(round(seconds / EVERY_S)):
        began = time.monotonic()
        picture: Any = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        yield picture.resize(SHRUNK, Image.Resampling.LANCZOS)
        time.sleep(max(0.0, EVERY_S - (time.monotonic() - began)))


def scalmarl(*words: str) -> None:
    """A command of ours, to its end."""
    subprocess.run([sys.executable, "-m", "scalmarl", *words], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
