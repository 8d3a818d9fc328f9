"""``python -m scalmarl``: the command line."""

from scalmarl.launch.cli import main

main()
