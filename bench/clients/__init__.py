"""Other ways to play the same film, to compare with: `python -m bench.clients NAME`. Own code, documented behaviour."""
