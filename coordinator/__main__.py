"""``python -m scalmarl.coordinator CONTROL_FD PARENT_PID``: started by the launcher."""

import sys

from scalmarl.protocol.lifeline import die_with_parent

if __name__ == "__main__":
    # Before the imports, which take a moment: whoever started this process may be killed meanwhile.
    die_with_parent(int(sys.argv[2]))

    from scalmarl.coordinator.process import make_parts
    from scalmarl.protocol.shell import serve_child

    serve_child(make_parts)
