"""Where a command puts a file: asked before the work, so that nobody waits for what cannot be written."""

from __future__ import annotations

import os
from pathlib import Path

from scalmarl.launch.errors import UsageProblem
from scalmarl.protocol.files import write_durably


def check_output(path: Path, option: str) -> None:
    """Whether a file of this name can be made or replaced, as far as can be told now. Raises ``UsageProblem``."""
    directory = path.absolute().parent
    if os.path.isdir(path):
        raise UsageProblem(f"{option} {path} is a directory", "name a file in it")
    if not os.path.isdir(directory):
        raise UsageProblem(f"{option} {path}: {path.parent} is no directory", "make it, or name a file in one")
    if not os.access(directory, os.W_OK):
        raise UsageProblem(
            f"{option} {path}: {path.parent} cannot be written to", "name a file in a directory that can"
        )
    try:
        os.lstat(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise UsageProblem(f"{option} {path} cannot be made ({error.strerror})", "give it another name") from None


def check_png(path: Path, option: str, example: str) -> None:
    """The same for a picture, which must be a PNG file. Raises ``UsageProblem``."""
    if path.suffix.lower() != ".png":
        raise UsageProblem(f"{option} {path} does not end in .png", f"name a PNG file, as in {option} {example}")
    check_output(path, option)


def make_directory(path: Path, option: str) -> None:
    """A directory and those above it, where they are not there yet. Raises ``UsageProblem``."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        what = "is a file" if os.path.isfile(path) else f"cannot be made ({error.strerror})"
        raise UsageProblem(f"{option} {path} {what}", "name a directory that you can write to") from None


def write_output(path: Path, content: bytes) -> None:
    """Replace a file. Raises ``UsageProblem`` where it cannot be written."""
    try:
        write_durably(path, content)
    except OSError as error:
        what = "it is a directory" if os.path.isdir(path) else error.strerror
        raise UsageProblem(f"cannot write {path}: {what}", "give -o a place that you can write to") from None
