"""The seed's README, executed: every code block, every list item, every documented method."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from buffer import BufferManager
from cluster import EmbeddedCluster
from cluster.sample import make_sample_film
from common import targets
from common.config import Settings
from common.estimators import node_score
from main import SmartClient
from monitor import NetworkMonitor
from scheduler import ChunkScheduler
from tests.needs import all_required
from tests.seed_readme import (
    BLOCKS,
    ITEMS,
    LIMIT_SEC,
    METHODS,
    ROOT,
    SHOWN,
    VIDEO,
    Method,
    argv_of,
    block,
    checks,
    code_in,
    free_port,
    get,
    item,
    run,
    running,
    unchecked,
    unfounded,
    words_of,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(120)

METADATA_URL = "http://localhost:8080"
DASHBOARD_URL = "http://localhost:8888"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedCluster]:
    """A store with a film of four seconds."""
    folder = tmp_path_factory.mktemp("readme")
    film = folder / "film.mp4"
    make_sample_film(film, duration_sec=4, width=192, height=108, bitrate_bps=200_000)
    with EmbeddedCluster(nodes=3, data=folder / "cluster") as running:
        running.run("add", str(film), "--id", VIDEO, "--chunk-duration", "2")
        yield running


@pytest.fixture(scope="module")
def long_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedCluster]:
    """A store whose video of the same name lasts longer than any test."""
    with EmbeddedCluster(nodes=3, data=tmp_path_factory.mktemp("long")) as running:
        running.add_raw(bytes(30_000), VIDEO, "--chunk-bytes", "1000")
        yield running


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    """The environment of a user of whom nothing is configured and nothing runs."""
    ours = {spec.metadata["env"] for spec in Settings.__dataclass_fields__.values()}
    kept = {k: v for k, v in os.environ.items() if k not in ours and not k.startswith("VSTACK_")}
    # Run directories hold sockets, whose paths must be short.
    with tempfile.TemporaryDirectory(prefix="vs-") as folder:
        yield {**kept, "XDG_RUNTIME_DIR": folder, "XDG_CONFIG_HOME": folder, "NO_COLOR": "1"}


# ---------------------------------------------------------------- coverage


def test_every_block_and_list_item_is_checked_by_a_test() -> None:
    assert (len(BLOCKS), len(ITEMS), len(METHODS)) == (15, 56, 22)
    assert unchecked() == []
    assert unfounded() == []


# ---------------------------------------------------------------- features


@checks(
    "Continuously pings",
    "Tracks latency, bandwidth, and reliability",
    "Maintains historical",
    "Selects optimal storage nodes",
    "Supports parallel downloads",
    "Maintains 30-second target",
    "Triggers downloads when buffer",
)
def test_defaults_are_those_of_the_feature_list() -> None:
    monitor, scheduler, buffer = NetworkMonitor(), ChunkScheduler(), BufferManager()
    assert f"every {monitor.ping_interval:g} seconds" in item("Continuously pings")
    assert f"({monitor.history_size} recent measurements" in item("Maintains historical")
    assert f"up to {scheduler.max_concurrent_downloads} " in item("Supports parallel downloads")
    assert f"{buffer.target_buffer_sec:g}-second target" in item("Maintains 30-second")
    assert f"below {buffer.low_water_mark_sec:g}-second" in item("Triggers downloads")
    formula = code_in(item("Selects optimal storage nodes"))
    figures = {"bandwidth": 24.0, "reliability": 0.75, "latency": 130.0}
    expected = eval(formula.replace("×", "*"), {"__builtins__": {}}, figures)
    assert expected == pytest.approx(
        node_score(bandwidth_mbps=24.0, reliability_ratio=0.75, latency_ms=130.0)
    )


@checks("Automatic failover", "Load balancing", "Smooth playback feed", "Tracks rebuffering")
def test_failover_load_pace_and_stalls_are_reported() -> None:
    figures = ChunkScheduler().get_statistics()
    assert {"failover_count", "node_load"} <= set(figures)
    client = SmartClient()
    assert {"rebuffering_events", "startup_latency_sec"} <= set(client.summary())
    assert "rebuffering_events" in BufferManager().get_statistics()


@checks("┌───")
def test_architecture_has_its_three_parts_with_their_numbers() -> None:
    drawn = block("┌───").text
    client = SmartClient()
    for title, attribute in (
        ("Network Monitor", "network_monitor"),
        ("Chunk Scheduler", "scheduler"),
        ("Buffer Manager", "buffer_manager"),
    ):
        assert title in drawn
        assert hasattr(client, attribute)
    settings = Settings()
    assert f"every {settings.ping_interval_sec:g}s" in drawn
    assert f"max {settings.max_concurrent_downloads})" in drawn
    assert f"{settings.target_buffer_sec:g}s target" in drawn
    assert f"{settings.low_water_mark_sec:g}s low water" in drawn


@checks(
    "**Startup Latency**",
    "**Rebuffering Events**",
    "**Average Buffer Size**",
    "**Concurrent Downloads**",
    "**Node Scoring Update**",
)
def test_performance_targets_are_those_that_are_measured() -> None:
    def last_number(start: str) -> float:
        return float(re.findall(r"[\d.]+", item(start))[-1])

    assert last_number("**Startup Latency**") == targets.STARTUP_TARGET_SEC
    assert last_number("**Rebuffering Events**") == targets.REBUFFERING_TARGET
    assert last_number("**Average Buffer Size**") == targets.AVERAGE_BUFFER_TARGET_SEC
    assert last_number("**Concurrent Downloads**") == targets.CONCURRENCY_TARGET
    assert last_number("**Node Scoring Update**") == targets.SCORING_TARGET_SEC


# ---------------------------------------------------------------- Python use


@checks(*(method.bullet for method in METHODS))
@pytest.mark.parametrize("method", METHODS, ids=lambda m: f"{m.class_name}.{m.name}")
def test_documented_method_takes_its_documented_parameters(method: Method) -> None:
    documented = importlib.import_module(method.module)
    function = getattr(getattr(documented, method.class_name), method.name)
    parameters = list(inspect.signature(function).parameters.values())[1:]
    assert tuple(p.name for p in parameters[: len(method.parameters)]) == method.parameters
    others = parameters[len(method.parameters) :]
    assert all(p.default is not p.empty for p in others), "more than the documented is required"


@checks("# Network Monitor\nmonitor = NetworkMonitor(")
def test_configuration_block_builds_the_three_components() -> None:
    names: dict[str, Any] = {
        "NetworkMonitor": NetworkMonitor,
        "ChunkScheduler": ChunkScheduler,
        "BufferManager": BufferManager,
    }
    exec(block("# Network Monitor").text, names)
    monitor, scheduler, buffer = names["monitor"], names["scheduler"], names["buffer"]
    assert (monitor.ping_interval, monitor.history_size) == (3.0, 10)
    assert (scheduler.network_monitor, scheduler.max_concurrent_downloads) == (monitor, 4)
    assert (buffer.target_buffer_sec, buffer.low_water_mark_sec) == (30, 15)
    assert (buffer.chunk_duration_sec, buffer.start_playback_sec) == (10, 10)


@checks("from main import SmartClient")
def test_programmatic_usage_plays_and_ends(
    cluster: EmbeddedCluster, environment: dict[str, str]
) -> None:
    code = block("from main import SmartClient").text
    assert METADATA_URL in code
    code = code.replace(METADATA_URL, cluster.metadata_url)
    said = run([sys.executable, "-W", "error", "-c", code], environment).stdout
    assert VIDEO in said
    assert re.search(r"^Buffer level: [\d.]+s$", said, flags=re.MULTILINE)
    assert re.search(r"^Rebuffering events: \d+$", said, flags=re.MULTILINE)
    assert not list(Path(environment["XDG_RUNTIME_DIR"]).glob("vstack/run-*")), "a stack was left"


@checks("Check node scores", "Check buffer level", "Check download statistics")
async def test_troubleshooting_calls_tell_about_a_played_video(
    cluster: EmbeddedCluster, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", environment["XDG_RUNTIME_DIR"])
    client = SmartClient(metadata_service_url=cluster.metadata_url)
    try:
        assert await client.initialize()
        assert await client.play_video(VIDEO)
        scores, level, downloads = (
            eval(code_in(item(start)), {"client": client})
            for start in ("Check node scores", "Check buffer level", "Check download statistics")
        )
    finally:
        await client.stop()
    assert set(scores) == set(cluster.node_urls)
    assert all(score > 0 for score in scores.values())
    assert {"buffer_level_sec", "state", "buffer_health_percent"} <= set(level)
    assert (downloads["total_downloads"], downloads["success_rate"]) == (2, 1.0)


# ---------------------------------------------------------------- commands


@checks("pip install")
def test_requirements_are_those_of_this_environment(environment: dict[str, str]) -> None:
    (command,) = block("pip install").commands()
    offline = [*argv_of(command), "--dry-run", "--no-index", "--quiet"]
    assert run(offline, environment).stdout.strip() == ""


@checks("python main.py <video_id>", f"python main.py {VIDEO}")
def test_command_plays_the_video_to_its_end(
    cluster: EmbeddedCluster, environment: dict[str, str]
) -> None:
    written = [b.commands() for b in BLOCKS if b.text.startswith("python main.py")]
    argvs = {tuple(argv_of(command)) for commands in written for command in commands}
    assert argvs == {(sys.executable, "main.py", VIDEO)}
    said = run([*argvs.pop()], environment, METADATA_SERVICE_URL=cluster.metadata_url).stdout
    assert VIDEO in said


def test_list_shows_the_video(cluster: EmbeddedCluster, environment: dict[str, str]) -> None:
    said = run(
        [sys.executable, "main.py", "--list"],
        environment,
        METADATA_SERVICE_URL=cluster.metadata_url,
    ).stdout
    assert said.startswith(VIDEO)


@checks(
    "python dashboard_server.py",
    "Start the smart client with dashboard server",
    "In another terminal, start the dashboard server",
    "Open your browser to",
    "Web-based visualization",
    "Live performance metrics",
    "Shows which storage node",
    *SHOWN,
)
@pytest.mark.parametrize("dashboard_first", [True, False], ids=["before", "after"])
def test_dashboard_shows_the_client_started_before_or_after_it(
    long_cluster: EmbeddedCluster, environment: dict[str, str], dashboard_first: bool
) -> None:
    assert f"`{DASHBOARD_URL}`" in item("Open your browser to")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    ours = {**environment, "METADATA_SERVICE_URL": long_cluster.metadata_url}
    ours["DASHBOARD_PORT"] = str(port)
    (serve,) = block("python dashboard_server.py").commands()
    (play,) = block(f"python main.py {VIDEO}").commands()
    status: dict[str, Any] = {}

    def shows_the_film() -> bool:
        code, body = get(f"{url}/api/status")
        status.clear()
        status.update(json.loads(body) if code == 200 else {})
        return status.get("video_id") == VIDEO and bool(
            status["buffer_stats"]["total_chunks_played"]
        )

    first, second = (serve, play) if dashboard_first else (play, serve)
    with running(argv_of(first), ours):
        if dashboard_first:
            wait_until(lambda: get(f"{url}/health")[0] == 200, LIMIT_SEC)
        with running(argv_of(second), ours):
            wait_until(shows_the_film, LIMIT_SEC)
            code, page = get(url)
            assert get(f"{url}/health")[0] == 200
    assert (code, b"<html" in page) == (200, True)
    for start, paths in SHOWN.items():
        for path in paths:
            found: Any = status
            for key in path.split("."):
                found = found[key]
            assert found is not None, f"{start}: {path}"
    assert set(status["network_stats"]) == set(long_cluster.node_urls)


@checks("# Check metadata service is running")
def test_metadata_service_answers_and_has_its_name(cluster: EmbeddedCluster) -> None:
    curl, ping = block("# Check metadata service is running").commands()
    url = words_of(curl)[1].replace(METADATA_URL, cluster.metadata_url)
    status, body = get(url)
    assert (status, json.loads(body)["status"]) == (200, "healthy")
    # The name is that of the container network.
    assert f"aliases: [{words_of(ping)[1]}]" in (ROOT / "compose.yaml").read_text("utf-8")


@checks(
    "pytest test_smart_client.py -v",
    "pytest test_smart_client.py::TestNetworkMonitor",
    "pytest test_smart_client.py --cov",
    "# Run with verbose output",
    "Ensure all tests pass",
)
def test_pytest_commands_find_their_tests(environment: dict[str, str], tmp_path: Path) -> None:
    blocks = [b for b in BLOCKS if "pytest" in b.text]
    commands = [c for b in blocks for c in b.commands()]
    commands.append(code_in(item("Ensure all tests pass")))
    single = [c for c in commands if c.count("::") == 2]
    assert (len(commands), len(single)) == (6, 1)
    for command in dict.fromkeys(commands):
        argv = [
            # A report belongs to a run, not to this repository.
            f"{word}:{tmp_path / 'htmlcov'}" if word == "--cov-report=html" else word
            for word in argv_of(command)
        ]
        quiet = [*argv, "-p", "no:cacheprovider"]
        if command not in single:
            quiet.append("--collect-only")
        said = run(quiet, environment, COVERAGE_FILE=str(tmp_path / "coverage")).stdout
        if command in single:
            assert "1 passed" in said
        wanted = re.findall(r"::(\w+)", command) or ["TestNetworkMonitor", "TestSmartClient"]
        assert all(name in said for name in wanted)


@checks("Check code style")
def test_code_style_command_finds_nothing(environment: dict[str, str]) -> None:
    if importlib.util.find_spec("pylint") is None and not all_required():
        pytest.skip("pylint is not installed")
    run(argv_of(code_in(item("Check code style"))), environment)


@checks("Add tests to", "Update this README")
def test_files_for_contributors_exist() -> None:
    assert (ROOT / code_in(item("Add tests to"))).is_file()
    assert (ROOT / "README.md").is_file()


# ---------------------------------------------------------------- containers


@checks("docker build", "docker run")
def test_container_commands_match_the_image_and_the_network() -> None:
    build = words_of(block("docker build").commands()[0])
    start = words_of(block("docker run").commands()[0])
    compose = (ROOT / "compose.yaml").read_text("utf-8")
    dockerfile = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    image, folder = build[build.index("-t") + 1], build[-1]
    assert (ROOT / folder / "Dockerfile").is_file()
    assert f"image: {image}\n" in compose
    assert start[start.index("--network") + 1] in compose
    variable, _, url = start[start.index("-e") + 1].partition("=")
    assert variable in {spec.metadata["env"] for spec in Settings.__dataclass_fields__.values()}
    assert f"{variable}: ${{{variable}:-{url}}}" in compose
    command = start[start.index(image) + 1 :]
    assert command == ["python", "main.py", VIDEO]
    copied = [
        source
        for line in re.findall(r"^COPY (?!--)(.+)$", dockerfile, flags=re.MULTILINE)
        for source in line.split()[:-1]
    ]
    assert "main.py" in copied
    assert [source for source in copied if not (ROOT / source).exists()] == []
