"""A committed policy read from its round file by hand, and whole episodes played with it: no code of the learner."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

Rows = NDArray[np.float32]
DIGEST_BYTES = 32


def content_of(path: Path) -> dict[str, NDArray[Any]]:
    """What lies between the header, whose length stands behind the magic word, and the digest at the end."""
    data = path.read_bytes()
    at = data.index(b"\n") + 1
    start = at + 4 + int.from_bytes(data[at : at + 4], "little")
    arrays: dict[str, NDArray[Any]] = safetensors.numpy.load(data[start:-DIGEST_BYTES])
    return arrays


class PlainPolicy:
    """Raw blocks of the neighbourhood ``[E, D]`` -> outputs of the network ``[E, A]``: means, or logits."""

    def __init__(self, run: Path, agent: int, round: int) -> None:
        name = f"agents/{agent:03d}/{round:06d}.round"
        path = run / name if (run / name).exists() else run / name.replace(f"{round:06d}", f"archive/{round:06d}")
        arrays = content_of(path)
        count, self.mean = float(arrays["inputs.count"][0]), arrays["inputs.mean"].astype(np.float32)
        std = (
            np.maximum(np.sqrt(arrays["inputs.squares"] / count), 1e-2)
            if count
            else np.ones_like(arrays["inputs.mean"])
        )
        self.scale = (1.0 / std).astype(np.float32)
        head = "mean" if "policy.mean.0.weight" in arrays else "logits"
        self.chooses = head == "logits"
        self.layers = [
            (arrays[f"policy.{head}.{layer}.weight"], arrays[f"policy.{head}.{layer}.bias"]) for layer in (0, 2, 4)
        ]
        plan = json.loads((run / "plan.json").read_text())
        self.limit = np.float32(plan["learner"]["observation_limit"])
        self.members = sorted([*plan["neighbours"][agent], agent])

    def act(self, blocks: list[Rows]) -> Rows:
        """The mean, or the index of the likeliest choice, for everybody's blocks."""
        seen = np.concatenate([blocks[agent] for agent in self.members], axis=1)
        x = np.clip((seen - self.mean) * self.scale, -self.limit, self.limit)
        for number, (weight, bias) in enumerate(self.layers):
            x = x @ weight.T + bias
            if number < len(self.layers) - 1:
                x = np.tanh(x)
        out: Rows = x.argmax(axis=1, keepdims=True).astype(np.float32) if self.chooses else x
        return out
