"""The coordinator: it draws the order of turns, grants them, and commits rounds. It never sees a state or a
gradient.
"""
