"""``python -m scalmarl.sim_server CONTROL_FD PARENT_PID``: started by the launcher."""

import os
import sys

from scalmarl.protocol.lifeline import die_with_parent

if __name__ == "__main__":
    # Before the imports, which take a moment: whoever started this process may be killed meanwhile.
    die_with_parent(int(sys.argv[2]))
    # A graphics backend that is named but absent makes the import of mujoco die; physics needs none.
    os.environ["MUJOCO_GL"] = "disabled"

    from scalmarl.protocol.shell import serve_child
    from scalmarl.sim_server.process import make_parts

    serve_child(make_parts)
