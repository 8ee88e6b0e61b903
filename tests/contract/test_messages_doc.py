"""docs/messages.md says what the code says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_document_is_what_the_definitions_give() -> None:
    command = [sys.executable, str(ROOT / "tools" / "messages_doc.py"), "--check"]
    done = subprocess.run(command, check=False)
    assert done.returncode == 0, "run: python tools/messages_doc.py"
