"""The algorithm on games so small that every quantity is solved exactly: tables, linear solves, no samples."""
