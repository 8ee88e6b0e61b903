"""Write docs/messages.md from the message definitions: `python tools/messages_doc.py` (`--check` only compares)."""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
import typing
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT_DIR))

from common import codec, messages, values  # noqa: E402

DOC = PROJECT_DIR / "docs" / "messages.md"
INTRO = f"""# Messages

Generated from `common/messages.py` and `common/values.py` by `python tools/messages_doc.py`; a test compares them.

* **Envelope.** Two frames: the tag in ASCII, and a msgpack map `{{"v": {codec.PROTOCOL_VERSION}, "m": fields}}`, where `v` is
  the protocol version. Payload messages (`chunk`) have a third frame with the bytes as they are.
* **Checks.** Every field is compared with its type; unknown tags, other versions, wrong types and bodies over
  {codec.MAX_BODY_BYTES // 1024 // 1024} MiB are counted, logged once and dropped. Unknown fields are ignored, missing ones take their default.
* **Change.** Fields are added with a default and never reused; another meaning needs another tag.
* **Loss.** PUB carries state that may be lost: snapshots are sent whole and again, and the last one of each kind is
  replayed to whoever subscribes. PUSH carries work that may be repeated: a demand says all that is wanted, jobs are leased,
  and a chunk that arrives twice is dropped.
* **Time.** Durations travel, deadlines do not. `_unix_sec` is wall time, for display only.
"""


def render() -> str:
    """Return the whole document."""
    parts = [INTRO, "## Messages\n"]
    parts += [_section(tag, cls) for tag, cls in codec.registered().items()]
    parts.append("## Values\n")
    for name, cls in inspect.getmembers(values, dataclasses.is_dataclass):
        parts.append(_section(name, typing.cast(type, cls)))
    return "\n".join(parts)


def _section(title: str, cls: type) -> str:
    lines = [f"### `{title}`\n"]
    heading = cls.__name__ if cls.__name__ != title else ""
    text = inspect.cleandoc(cls.__doc__ or "")
    lines.append(f"{f'**{heading}**: ' if heading else ''}{text}\n")
    lines += ["| field | type | default |", "|---|---|---|"]
    for field in dataclasses.fields(cls):
        default = "" if field.default is dataclasses.MISSING else f"`{field.default!r}`"
        lines.append(f"| `{field.name}` | {_type_text(str(field.type))} | {default} |")
    return "\n".join(lines) + "\n"


def _type_text(annotation: str) -> str:
    text = re.sub(r"\s+", " ", annotation)
    known = vars(messages).get(text)
    if typing.get_origin(known) is typing.Literal:
        return "one of " + ", ".join(f"`{word}`" for word in typing.get_args(known))
    return f"`{text}`".replace("|", "\\|")


def main() -> int:
    """Write or compare; return the exit code."""
    text = render()
    if "--check" in sys.argv[1:]:
        return 0 if DOC.read_text("utf-8") == text else 1
    DOC.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
