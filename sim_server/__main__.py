"""``python -m scalmarl.sim_server CONTROL_FD PARENT_PID``: started by the launcher."""

import os

# A graphics backend that is named but absent makes the import of mujoco die; physics needs none.
os.environ["MUJOCO_GL"] = "disabled"

from scalmarl.protocol.shell import serve_child
from scalmarl.sim_server.process import make_parts

if __name__ == "__main__":
    serve_child(make_parts)
