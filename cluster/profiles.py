"""Link profiles: what each node's link is like, from a name, a TOML file or `--link`."""

import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from cluster.shaping import RateSchedule, TraceStep

TRACES_DIR = Path(__file__).parent / "traces"


class ProfileError(ValueError):
    """A profile that cannot be used; the message names the field and its range."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkProfile:
    """One node's link. Without a rate and a trace the rate is unlimited.

    `rtt_ms` of None means the trace's latency, or 0. `no_range` imitates the original node: 200
    with the whole body, a bare ETag. `cut_response_after_sec` imitates its write timeout.
    `slow_start` makes each connection begin as TCP does on a long link (`cluster/slow_start.py`);
    without it a connection is as fast as the link from its first byte.
    """

    rate_mbps: float | None = None
    trace: str | None = None
    trace_offset_sec: float = 0.0
    rtt_ms: float | None = None
    jitter_ms: float = 0.0
    no_range: bool = False
    cut_response_after_sec: float | None = None
    slow_start: bool = False

    def as_json(self) -> str:
        """Return the profile as one JSON object."""
        return json.dumps(asdict(self))

    def as_link_spec(self) -> str:
        """Return the profile in the form that `--link NODE=...` takes."""
        return ",".join(
            f"{key}={str(value).lower() if isinstance(value, bool) else value}"
            for key, value in asdict(self).items()
            if value is not None
        )


_DEMO = (
    LinkProfile(rate_mbps=20.0, rtt_ms=20.0),
    LinkProfile(rate_mbps=10.0, rtt_ms=40.0),
    LinkProfile(rate_mbps=5.0, rtt_ms=80.0),
)
NAMED_PROFILES: Mapping[str, tuple[LinkProfile, ...]] = {
    "unshaped": (LinkProfile(),),
    "demo": _DEMO,
    "original": (LinkProfile(no_range=True, cut_response_after_sec=15.0),),
}

_RANGES: Mapping[str, tuple[float, float]] = {
    "rate_mbps": (0.01, 100_000.0),
    "trace_offset_sec": (0.0, 86_400.0),
    "rtt_ms": (0.0, 10_000.0),
    "jitter_ms": (0.0, 10_000.0),
    "cut_response_after_sec": (0.1, 3_600.0),
}
_SHORT_NAMES: Mapping[str, str] = {
    "rate": "rate_mbps",
    "rtt": "rtt_ms",
    "jitter": "jitter_ms",
    "offset": "trace_offset_sec",
    "cut": "cut_response_after_sec",
}
_FLAGS = ("no_range", "slow_start")
_FIELDS = (*_RANGES, "trace", *_FLAGS)


def profile_from_fields(fields: Mapping[str, object], where: str) -> LinkProfile:
    """Build a profile from a table; raises ProfileError naming `where`, the field and its range."""
    return _with_fields(LinkProfile(), fields, where)


def profile_from_json(text: str) -> LinkProfile:
    """Read back what `as_json` wrote."""
    fields = {key: value for key, value in json.loads(text).items() if value is not None}
    return profile_from_fields(fields, "profile")


def load_profiles(name: str, node_count: int) -> list[LinkProfile]:
    """Return one profile a node from a profile's name or the path of a TOML file.

    With fewer profiles than nodes they repeat.
    """
    profiles: Sequence[LinkProfile]
    if name in NAMED_PROFILES:
        profiles = NAMED_PROFILES[name]
    elif Path(name).is_file():
        profiles = _load_file(Path(name))
    else:
        raise ProfileError(
            f"--profile {name}: no such profile or file; "
            f"accepted: {', '.join(NAMED_PROFILES)} or the path of a TOML file"
        )
    return [profiles[index % len(profiles)] for index in range(node_count)]


def with_link_spec(profile: LinkProfile, spec: str, where: str) -> LinkProfile:
    """Return `profile` changed by `rate=5,rtt=80,trace=3g/NAME`."""
    fields: dict[str, object] = {}
    for part in filter(None, spec.split(",")):
        key, equals, text = part.partition("=")
        key = _SHORT_NAMES.get(key.strip(), key.strip())
        if not equals or key not in _FIELDS:
            known = ", ".join([*_SHORT_NAMES, "trace", *_FLAGS])
            raise ProfileError(f"{where}: cannot read {part!r}; accepted fields: {known}")
        if key == "trace":
            fields[key] = text
        elif key in _FLAGS:
            if text not in ("true", "false"):
                raise ProfileError(f"{where}: {key} must be true or false, got {text!r}")
            fields[key] = text == "true"
        else:
            try:
                fields[key] = float(text)
            except ValueError:
                fields[key] = text
    # A rate replaces a trace of the profile underneath, and the other way round.
    if "trace" in fields and "rate_mbps" not in fields:
        profile = replace(profile, rate_mbps=None)
    if "rate_mbps" in fields and "trace" not in fields:
        profile = replace(profile, trace=None)
    return _with_fields(profile, fields, where)


def load_schedule(profile: LinkProfile) -> RateSchedule | None:
    """Return the rate over time that `profile` means, None when it is unlimited."""
    if profile.trace is not None:
        return RateSchedule(_load_trace(profile.trace, "profile"))
    if profile.rate_mbps is not None:
        return RateSchedule.constant(profile.rate_mbps)
    return None


def _with_fields(base: LinkProfile, fields: Mapping[str, object], where: str) -> LinkProfile:
    values: dict[str, object] = {}
    for key, value in fields.items():
        if key in _RANGES:
            low, high = _RANGES[key]
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            number = float(value) if is_number else math.nan  # type: ignore[arg-type]
            if not low <= number <= high:
                raise ProfileError(f"{where}: {key} must be {low:g} to {high:g}, got {value!r}")
            values[key] = number
        elif key in _FLAGS:
            if not isinstance(value, bool):
                raise ProfileError(f"{where}: {key} must be true or false, got {value!r}")
            values[key] = value
        elif key == "trace":
            _load_trace(str(value), where)
            values[key] = str(value)
        else:
            raise ProfileError(f"{where}: unknown field {key!r}; accepted: {', '.join(_FIELDS)}")
    profile = replace(base, **values)  # type: ignore[arg-type]
    if profile.trace is not None and profile.rate_mbps is not None:
        raise ProfileError(f"{where}: rate_mbps and trace exclude each other")
    return profile


def _load_file(path: Path) -> list[LinkProfile]:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8")).get("node")
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ProfileError(f"--profile {path}: {error}") from error
    is_list = isinstance(tables, list) and all(isinstance(table, dict) for table in tables)
    if not tables or not is_list:
        raise ProfileError(f"--profile {path}: expected at least one [[node]] table")
    return [
        profile_from_fields(table, f"{path}: node {number}")
        for number, table in enumerate(tables, start=1)
    ]


def _load_trace(name: str, where: str) -> list[TraceStep]:
    path = TRACES_DIR / f"{name}.json"
    if not path.is_file():
        path = Path(name)
    try:
        steps = [
            TraceStep(
                duration_sec=float(row["duration_ms"]) / 1000,
                bytes_per_sec=float(row["bandwidth_kbps"]) * 1000 / 8,
                latency_ms=float(row["latency_ms"]),
            )
            for row in json.loads(path.read_text(encoding="utf-8"))
        ]
        RateSchedule(steps)
    except OSError as error:
        folders = ", ".join(sorted(p.name for p in TRACES_DIR.iterdir() if p.is_dir()))
        raise ProfileError(
            f"{where}: trace {name!r} not found; give FOLDER/NAME with one of the folders "
            f"{folders} in {TRACES_DIR}, or the path of a JSON file"
        ) from error
    except (ValueError, TypeError, KeyError) as error:
        raise ProfileError(f"{where}: trace {name!r} is no usable trace: {error}") from error
    return steps
