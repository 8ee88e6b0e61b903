"""Plays films while processes and nodes are killed, stopped and broken, and says whether they came through."""
