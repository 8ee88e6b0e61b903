"""The dashboard: what a stack does, live in the browser."""
