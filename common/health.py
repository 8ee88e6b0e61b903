"""`python -m common.health [ROLE ...]`: exit 0 when live processes hold these roles in the run directory.

That is the standing stack's, or the newest private one's. Without a role any one of them is enough. Meant for
container health checks.
"""

from __future__ import annotations

import sys
from typing import cast, get_args

from common.endpoints import Role, find_run_dir, is_running


def main(arguments: list[str]) -> int:
    """Return 0 when the roles named run, 1 when not, 2 for an unknown role."""
    known = get_args(Role)
    for name in arguments:
        if name not in known:
            print(f"unknown role {name!r}; roles are {', '.join(known)}", file=sys.stderr)  # noqa: T201
            return 2
    run_dir = find_run_dir()
    if arguments:
        return 0 if all(is_running(run_dir, cast(Role, name)) for name in arguments) else 1
    return 0 if any(is_running(run_dir, role) for role in known) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
