"""Torch as the agents' processes have it: one thread, so that sums have one order and tests do not fight for cores."""

from __future__ import annotations

import torch

torch.set_num_threads(1)
