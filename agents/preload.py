"""Imported once by the fork server, so that an agent starts in milliseconds with its memory shared.

Only imports: no tensor work, no ZeroMQ context, no second thread before the forks (a fork of a process that has used
two OpenMP threads hangs).
"""

from __future__ import annotations

import gc
import os

from scalmarl.protocol.lifeline import die_with_launcher, release_stop_signals

# First of all: a launcher that is killed while torch is read in here must not leave this process behind.
die_with_launcher()

for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"

import safetensors.numpy  # noqa: E402, F401
import torch  # noqa: E402
import torch._dynamo  # noqa: E402  (torch.optim imports it lazily: 0.9 s and 73 MB per agent otherwise)

from scalmarl.protocol import shell  # noqa: E402, F401

FORK_SERVER = os.getpid()

torch.set_num_threads(1)
torch.set_num_interop_threads(1)

release_stop_signals()
gc.collect()
gc.freeze()
