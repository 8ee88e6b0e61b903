"""Programs that show the film: chosen, started, followed, and ended with it."""
