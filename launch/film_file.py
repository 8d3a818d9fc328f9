"""A film on its way to the disk: pictures with a caption below, as MP4 (H.264, by PyAV) or as animated GIF (Pillow).

It is written beside its name and takes it when it is whole, so an interrupted one leaves nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from scalmarl.launch.errors import MachineNotFit, UsageProblem
from scalmarl.launch.output_file import check_output

SUFFIXES = (".mp4", ".gif")
BACKGROUND, INK, FAINT = (24, 26, 30), (235, 235, 235), (150, 150, 150)
MOST_CELLS = 64
PALETTE_PICTURES = 24
Pixels = NDArray[np.uint8]


def require_film(path: Path) -> None:
    """Before anything is computed: a name and the libraries for a film. Raises ``UserProblem``."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageProblem(f"{path} is neither .mp4 nor .gif", "name the film accordingly, as in -o film.mp4")
    check_output(path, "-o")
    needed = ["PIL"] if path.suffix.lower() == ".gif" else ["av", "PIL"]
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise MachineNotFit(f"a film needs {' and '.join(missing)}", "pip install 'scalmarl[video]'")


class Film:
    """A film of ``fps`` pictures a second; enter it, ``add`` pictures, leave it. ``pictures``: how many it has."""

    def __init__(self, path: Path, fps: int) -> None:
        self._path, self._fps = path, fps
        self._beside = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix.lower()}")
        self._to: _Mp4 | _Gif | None = None
        self.pictures = 0

    def add(self, pixels: Pixels) -> None:
        """One more picture ``[height, width, 3]``, all of one size."""
        if self._to is None:
            self._to = (_Gif if self._beside.suffix == ".gif" else _Mp4)(self._beside, self._fps, pixels.shape)
        self._to.add(pixels)
        self.pictures += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._to is not None:
                self._to.close(whole=kind is None)
            if kind is None and self.pictures:
                self._beside.replace(self._path)
        finally:
            self._beside.unlink(missing_ok=True)


class _Mp4:
    def __init__(self, path: Path, fps: int, shape: tuple[int, ...]) -> None:
        import av

        self._av = av
        self._container = av.open(str(path), "w", format="mp4", options={"movflags": "faststart"})
        self._stream: Any = self._container.add_stream("libx264", rate=fps, options={"crf": "20"})
        # What every browser plays; it has one colour per two by two pixels, so both sides must be even.
        self._stream.height, self._stream.width = (side + side % 2 for side in shape[:2])
        self._stream.pix_fmt = "yuv420p"

    def add(self, pixels: Pixels) -> None:
        height, width, _ = pixels.shape
        even = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        self._container.mux(self._stream.encode(self._av.VideoFrame.from_ndarray(even, format="rgb24")))

    def close(self, whole: bool) -> None:
        if whole:
            self._container.mux(self._stream.encode())
        self._container.close()


class _Gif:
    """Kept in memory, a byte per pixel, until it is closed: its one palette is made of pictures from all over it."""

    def __init__(self, path: Path, fps: int, shape: tuple[int, ...]) -> None:
        self._path, self._fps = path, fps
        self._frames: list[Any] = []

    def add(self, pixels: Pixels) -> None:
        from PIL import Image

        self._frames.append(Image.fromarray(pixels).quantize(256, dither=Image.Dither.NONE))

    def close(self, whole: bool) -> None:
        if not (whole and self._frames):
            return
        from PIL import Image

        some = self._frames[:: -(-len(self._frames) // PALETTE_PICTURES)]
        mosaic = Image.fromarray(np.concatenate([np.asarray(frame.convert("RGB")) for frame in some]))
        palette = mosaic.quantize(256, dither=Image.Dither.NONE)
        first, *rest = (
            frame.convert("RGB").quantize(palette=palette, dither=Image.Dither.NONE) for frame in self._frames
        )
        # Hundredths of a second are all that a GIF knows.
        lasts = [10 * cents for cents in _cents(len(self._frames), self._fps)]
        first.save(self._path, format="GIF", save_all=True, append_images=rest, duration=lasts, loop=0, optimize=False)


def _cents(pictures: int, fps: int) -> Iterator[int]:
    ends = [round(100 * (number + 1) / fps) for number in range(pictures)]
    return (end - begin for begin, end in zip([0, *ends], ends))


class Caption:
    """A strip below the picture: words on the left, and a cell per agent in its own colour with its cost so far."""

    def __init__(self, width: int, colours: list[tuple[int, int, int]]) -> None:
        from PIL import ImageFont

        self._colours = colours
        self._size = max(11, min(20, width // 48))
        self._font = ImageFont.load_default(self._size)

    def below(self, pixels: Pixels, words: list[str], costs: list[str], hot: list[bool]) -> Pixels:
        """The picture with its strip. Of the words, as many as fit. ``hot``: whose cost is above a limit."""
        from PIL import Image, ImageDraw

        height, width, _ = pixels.shape
        line = round(self._size * 1.5)
        cells = self._cells(width, costs)
        rows = 1 + (max(row for _, row, _ in cells) if cells else 0)
        strip = (1 + rows) * line + line // 2
        whole = Image.new("RGB", (width, height + strip + (height + strip) % 2), BACKGROUND)
        whole.paste(Image.fromarray(pixels))
        draw = ImageDraw.Draw(whole)
        text = self._fitting(words if cells else words[:-1], width)
        draw.text((self._size // 2, height + line // 4), text, fill=INK, font=self._font)
        for (left, row, text), colour, above in zip(cells, self._colours, hot):
            top = height + (1 + row) * line + line // 4
            draw.rectangle((left, top + 2, left + self._size // 2, top + self._size), fill=colour)
            draw.text((left + self._size, top), text, fill=INK if above else FAINT, font=self._font)
        return np.asarray(whole)

    def _fitting(self, words: list[str], width: int) -> str:
        count = len(words)
        while count > 1 and self._font.getlength("   ".join(words[:count])) > width - self._size:
            count -= 1
        return "   ".join(words[:count])

    def _cells(self, width: int, costs: list[str]) -> list[tuple[int, int, str]]:
        """Left edge, row and text of every agent's cell; columns are as wide as a text may become, so that
        all pictures are of one size."""
        if len(costs) > MOST_CELLS:
            return []
        texts = [f"{agent}: {cost}" for agent, cost in enumerate(costs)]
        most = max(cost.count("/") for cost in costs) + 1
        wide = int(self._font.getlength(f"{len(costs) - 1}: {'/'.join(['1000'] * most)}!")) + self._size
        columns = max(1, (width - self._size) // wide)
        return [
            (self._size // 2 + (agent % columns) * wide, agent // columns, text) for agent, text in enumerate(texts)
        ]
