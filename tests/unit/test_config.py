"""Settings: precedence, and refusals that name the variable and its range."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from common.config import Settings, load_settings
from common.errors import ConfigError, ExitCode

NUMBERS = [f for f in dataclasses.fields(Settings) if type(f.default) in (int, float)]


def load(
    overrides: dict[str, Any] | None = None,
    environment: dict[str, str] | None = None,
    toml: str | None = None,
    *,
    folder: Path | None = None,
) -> Settings:
    path = None
    if toml is not None and folder is not None:
        path = folder / "settings.toml"
        path.write_text(toml, encoding="utf-8")
    return load_settings(overrides, environment=environment or {"HOME": "/"}, config_file=path)


def refusal(*arguments: Any, **named: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load(*arguments, **named)
    assert caught.value.exit_code == ExitCode.USAGE
    return str(caught.value)


def test_defaults_are_the_seeds() -> None:
    settings = load()
    assert settings == Settings()
    assert settings.metadata_service_url == "http://localhost:8080"
    assert (settings.ping_interval_sec, settings.history_size) == (3.0, 10)
    assert (settings.target_buffer_sec, settings.low_water_mark_sec) == (30.0, 15.0)
    assert (settings.chunk_duration_sec, settings.start_playback_sec) == (10.0, 10.0)
    assert (settings.max_concurrent_downloads, settings.dashboard_port) == (4, 8888)


def test_flags_beat_the_environment_beats_the_file_beats_the_defaults(tmp_path: Path) -> None:
    toml = "history_size = 2\nworkers = 2\ntarget_buffer_sec = 20"
    environment = {"HISTORY_SIZE": "3", "WORKERS": "3"}
    settings = load({"workers": 4, "history_size": None}, environment, toml, folder=tmp_path)
    assert settings.target_buffer_sec == 20
    assert settings.history_size == 3
    assert settings.workers == 4
    assert settings.dashboard_port == 8888


def test_an_empty_variable_is_not_set() -> None:
    assert load(environment={"WORKERS": ""}).workers == 2


def test_settings_survive_the_environment_of_a_child() -> None:
    settings = load({"workers": 7, "ping_interval_sec": 0.25, "dashboard_host": "127.0.0.2"})
    assert load(environment=settings.to_environment()) == settings


@pytest.mark.parametrize("field", NUMBERS, ids=lambda f: str(f.name))
@pytest.mark.parametrize("wrong", ["", "many", "nan", "inf", "-1", "9" * 400, "1e999", "0x10"])
def test_a_wrong_number_names_its_variable_and_range(
    field: dataclasses.Field[Any], wrong: str
) -> None:
    variable, low, high = (field.metadata[key] for key in ("env", "low", "high"))
    if not wrong:
        return
    text = refusal(environment={variable: wrong})
    assert text.startswith(f"{variable}: ")
    assert text.endswith(f"of {low:g} to {high:g}")


def test_a_fraction_is_no_whole_number(tmp_path: Path) -> None:
    assert "WORKERS: '2.5' is not a whole number" in refusal(environment={"WORKERS": "2.5"})
    assert refusal(toml="workers = 2.5", folder=tmp_path).startswith("workers: 2.5")
    assert refusal(toml="workers = true", folder=tmp_path).startswith("workers: True")


def test_a_wrong_flag_is_named_as_a_flag() -> None:
    assert refusal({"ping_interval_sec": "fast"}).startswith("--ping-interval-sec: 'fast'")


@pytest.mark.parametrize(
    "url", ["localhost:8080", "ftp://host", "http://", "http://host:99999", "http://[::1"]
)
def test_a_metadata_url_must_be_one(url: str) -> None:
    assert refusal(environment={"METADATA_SERVICE_URL": url}).startswith("METADATA_SERVICE_URL: ")


def test_a_low_water_mark_above_the_target_is_refused() -> None:
    text = refusal(environment={"LOW_WATER_MARK_SEC": "31"})
    assert "LOW_WATER_MARK_SEC" in text
    assert "TARGET_BUFFER_SEC" in text


# ---------------------------------------------------------------- the file


def test_an_unknown_setting_in_the_file_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    text = refusal(toml="colour = 'blue'", folder=tmp_path)
    assert text.startswith("colour: no such setting")
    assert "target_buffer_sec" in text


def test_a_file_that_is_no_toml_is_refused(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(toml="= 3", folder=tmp_path)


def test_a_list_is_no_value(tmp_path: Path) -> None:
    assert refusal(toml="workers = [2]", folder=tmp_path).startswith("workers: [2]")
    assert refusal(toml="dashboard_host = 1", folder=tmp_path).startswith("dashboard_host: 1")


def test_a_file_named_but_missing_is_refused(tmp_path: Path) -> None:
    missing = tmp_path / "none.toml"
    with pytest.raises(ConfigError, match=r"none\.toml does not exist"):
        load_settings(environment={"VSTACK_CONFIG": str(missing)})
    with pytest.raises(ConfigError, match=r"none\.toml does not exist"):
        load_settings(environment={}, config_file=missing)


def test_the_usual_place_is_looked_at_and_may_be_empty(tmp_path: Path) -> None:
    environment = {"XDG_CONFIG_HOME": str(tmp_path)}
    assert load_settings(environment=environment) == Settings()
    (tmp_path / "vstack").mkdir()
    (tmp_path / "vstack" / "config.toml").write_text("workers = 5", encoding="utf-8")
    assert load_settings(environment=environment).workers == 5


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings(environment={}, config_file=path)
