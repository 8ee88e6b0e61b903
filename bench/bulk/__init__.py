"""How fast verified bytes come from nodes that hold nothing back, and what they cost: `python -m bench.bulk`."""
