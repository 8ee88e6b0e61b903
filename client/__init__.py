"""The viewer's side: starts or joins a stack, plays through it, shows what happens. Behind main.py."""
