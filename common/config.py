"""Settings: defaults, a TOML file, the environment and flags, in rising order of precedence.

Every setting has a name, an environment variable, a range and a reason. Built once, frozen, passed in.
"""

from __future__ import annotations

import dataclasses
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from common.errors import ConfigError


def setting(default: Any, env: str, text: str, *, low: float = 0, high: float = 0) -> Any:
    """Declare a field of Settings with its environment variable, meaning and accepted range."""
    return field(default=default, metadata={"env": env, "text": text, "low": low, "high": high})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings, validated."""

    metadata_service_url: str = setting(
        "http://localhost:8080", "METADATA_SERVICE_URL", "base URL of the metadata service"
    )
    ping_interval_sec: float = setting(
        3.0, "PING_INTERVAL", "seconds between pings of a node", low=0.1, high=3600
    )
    history_size: int = setting(
        10, "HISTORY_SIZE", "recent measurements kept per node", low=1, high=10_000
    )
    target_buffer_sec: float = setting(
        30.0,
        "TARGET_BUFFER_SEC",
        "seconds of media to hold ahead of the playhead",
        low=1,
        high=3600,
    )
    low_water_mark_sec: float = setting(
        15.0, "LOW_WATER_MARK_SEC", "below this the next chunk is urgent", low=0, high=3600
    )
    chunk_duration_sec: float = setting(
        10.0,
        "CHUNK_DURATION_SEC",
        "duration of a chunk whose media does not tell",
        low=0.1,
        high=3600,
    )
    start_playback_sec: float = setting(
        10.0,
        "START_PLAYBACK_SEC",
        "media needed to start, the target at most; up to a chunk's duration the first chunk is enough",
        low=0,
        high=3600,
    )
    max_concurrent_downloads: int = setting(
        4, "MAX_CONCURRENT_DOWNLOADS", "chunks fetched at the same time", low=1, high=64
    )
    max_buffer_bytes: int = setting(
        64 * 1024 * 1024,
        "MAX_BUFFER_BYTES",
        "chunk bytes held in memory; more goes to disk",
        low=1024 * 1024,
        high=2**40,
    )
    request_timeout_sec: float = setting(
        5.0, "REQUEST_TIMEOUT_SEC", "timeout of metadata requests", low=0.1, high=600
    )
    give_up_sec: float = setting(
        60.0, "GIVE_UP_SEC", "seconds without a byte after which playback fails", low=1, high=86_400
    )
    workers: int = setting(2, "WORKERS", "worker processes of a private stack", low=1, high=64)
    dashboard_host: str = setting("127.0.0.1", "DASHBOARD_HOST", "address the dashboard binds")
    dashboard_port: int = setting(
        8888, "DASHBOARD_PORT", "port of the dashboard", low=1, high=65_535
    )

    stream_host: str = setting(
        "127.0.0.1", "STREAM_HOST", "address the film is served on to players"
    )
    stream_port: int = setting(
        0, "STREAM_PORT", "port the film is served on; 0 takes a free one", low=0, high=65_535
    )

    def __post_init__(self) -> None:
        require_http_url("METADATA_SERVICE_URL", self.metadata_service_url)
        if self.low_water_mark_sec > self.target_buffer_sec:
            raise ConfigError(
                f"LOW_WATER_MARK_SEC: {self.low_water_mark_sec:g} is above TARGET_BUFFER_SEC "
                f"({self.target_buffer_sec:g})"
            )

    def to_environment(self) -> dict[str, str]:
        """Return the environment that gives a child process the same settings."""
        return {f.metadata["env"]: str(getattr(self, f.name)) for f in dataclasses.fields(self)}


def require_http_url(name: str, url: str) -> str:
    """Return `url` when it is an http(s) URL with a host; else raise ConfigError naming `name`."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(f"{name}: {url!r} is not a URL of the form http://HOST[:PORT]")
    return url


def load_settings(
    overrides: Mapping[str, Any] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    config_file: Path | None = None,
) -> Settings:
    """Return validated settings; raise ConfigError naming what is wrong and the accepted range.

    `overrides` are flags by field name (None = not given); `config_file` defaults to `$VSTACK_CONFIG` or
    `~/.config/vstack/config.toml` where that exists.
    """
    env = os.environ if environment is None else environment
    by_name = {f.name: f for f in dataclasses.fields(Settings)}
    chosen: dict[str, Any] = {}
    for name, raw in _read_file(config_file, env).items():
        if name not in by_name:
            raise ConfigError(f"{name}: no such setting; known are {', '.join(by_name)}")
        chosen[name] = _convert(by_name[name], raw, name)
    for name, spec in by_name.items():
        variable = spec.metadata["env"]
        if env.get(variable, "") != "":
            chosen[name] = _convert(spec, env[variable], variable)
    for name, raw in (overrides or {}).items():
        if raw is not None:
            chosen[name] = _convert(by_name[name], raw, "--" + name.replace("_", "-"))
    return Settings(**chosen)


def _read_file(config_file: Path | None, env: Mapping[str, str]) -> dict[str, Any]:
    named = config_file or (Path(env["VSTACK_CONFIG"]) if env.get("VSTACK_CONFIG") else None)
    home = Path(env.get("XDG_CONFIG_HOME") or Path(env.get("HOME", "/")) / ".config")
    path = named or home / "vstack" / "config.toml"
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        if named is None:
            return {}
        raise ConfigError(f"configuration file {path} does not exist") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        if named is None and isinstance(error, OSError):
            return {}
        raise ConfigError(f"configuration file {path} cannot be read: {error}") from error


def _convert(spec: dataclasses.Field[Any], raw: Any, shown_name: str) -> Any:
    kind: Any = type(spec.default)
    low, high = spec.metadata["low"], spec.metadata["high"]
    if kind is str:
        if not isinstance(raw, str) or not raw:
            raise ConfigError(f"{shown_name}: {raw!r} is not a non-empty text")
        return raw
    what = "a whole number" if kind is int else "a number"
    try:
        if isinstance(raw, bool) or (kind is int and isinstance(raw, float)):
            raise ValueError
        converted = kind(raw)
    except (TypeError, ValueError):
        raise ConfigError(f"{shown_name}: {raw!r} is not {what} of {low:g} to {high:g}") from None
    if not low <= converted <= high:  # false for nan, too
        raise ConfigError(f"{shown_name}: {raw!r} is not {what} of {low:g} to {high:g}")
    return converted
