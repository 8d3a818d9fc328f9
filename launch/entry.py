"""What the command ``scalmarl`` runs: the command line, once it is loaded; Ctrl-C before that is no error."""

from __future__ import annotations

import os
import sys

from scalmarl.launch.ctrl_c import heed_ctrl_c, remember_ctrl_c

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


def main() -> None:
    """Run the command line; never returns."""
    # This process computes nothing. A second thread of a numerical library would also catch the signals that the main
    # thread holds back while a run begins.
    os.environ.update(ONE_THREAD)
    remember_ctrl_c()
    try:
        from scalmarl.launch.cli import main as command

        heed_ctrl_c()
        command()
    except KeyboardInterrupt:
        sys.exit(130)
