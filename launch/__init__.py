"""The launcher: command line, configuration, supervisor, run directory and reports."""
