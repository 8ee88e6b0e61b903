"""Run directories, locks and addresses."""

from __future__ import annotations

import fcntl
import os
import stat
import threading
from pathlib import Path

import pytest

from common import endpoints
from common.endpoints import (
    CHANNELS,
    MAX_RUN_DIR_BYTES,
    Endpoints,
    RoleLock,
    find_run_dir,
    is_running,
    is_stack_running,
    make_private_run_dir,
    prepare_run_dir,
    shared_run_dir,
)
from common.errors import ConfigError, StackError


@pytest.fixture
def base(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let stacks live below a directory of this test."""
    monkeypatch.delenv("VSTACK_RUN_DIR", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(run_dir))
    return run_dir / "vstack"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# ---------------------------------------------------------------- directories


def test_a_run_dir_is_ours_alone(run_dir: Path) -> None:
    made = prepare_run_dir(run_dir / "stack")
    assert mode(made) == 0o700


def test_a_run_dir_open_to_others_is_closed(run_dir: Path) -> None:
    path = run_dir / "stack"
    path.mkdir()
    path.chmod(0o755)
    prepare_run_dir(path)
    assert mode(path) == 0o700


def test_a_path_too_long_for_sockets_is_refused_before_it_is_made(run_dir: Path) -> None:
    path = run_dir / ("x" * MAX_RUN_DIR_BYTES)
    with pytest.raises(ConfigError, match=f"VSTACK_RUN_DIR.*at most {MAX_RUN_DIR_BYTES} bytes"):
        prepare_run_dir(path)
    assert not path.exists()


def test_a_file_in_place_of_the_run_dir_is_refused(run_dir: Path) -> None:
    path = run_dir / "stack"
    path.write_text("")
    with pytest.raises(ConfigError, match="VSTACK_RUN_DIR"):
        prepare_run_dir(path)


def test_a_link_in_place_of_the_run_dir_is_refused(run_dir: Path) -> None:
    (run_dir / "real").mkdir()
    (run_dir / "stack").symlink_to(run_dir / "real")
    with pytest.raises(ConfigError, match="not a directory of yours"):
        prepare_run_dir(run_dir / "stack")


def test_a_place_that_cannot_be_made_is_refused() -> None:
    with pytest.raises(ConfigError, match="VSTACK_RUN_DIR"):
        prepare_run_dir(Path("/proc/none/stack"))


def test_the_standing_stack_has_a_fixed_place(
    base: Path, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shared_run_dir() == base / "shared"
    monkeypatch.setenv("VSTACK_RUN_DIR", str(run_dir / "mine"))
    assert shared_run_dir() == run_dir / "mine"


def test_private_stacks_do_not_share_a_place(base: Path) -> None:
    first, second = make_private_run_dir(), make_private_run_dir()
    assert first != second
    assert first.parent == base
    assert mode(first) == mode(base) == 0o700


def test_the_longest_socket_name_fits(run_dir: Path) -> None:
    longest = Endpoints(Path("/" + "x" * (MAX_RUN_DIR_BYTES - 1)))
    names = [longest.address(c) for c in CHANNELS] + [longest.worker_inbox("w" * 200)]
    assert max(len(name.removeprefix("ipc://")) for name in names) <= 107


# ---------------------------------------------------------------- locks


def test_a_second_process_of_a_role_is_refused(run_dir: Path) -> None:
    lock = RoleLock(run_dir, "buffer")
    with pytest.raises(StackError, match="another buffer runs in"):
        RoleLock(run_dir, "buffer")
    lock.release()
    RoleLock(run_dir, "buffer").release()


def test_roles_do_not_exclude_each_other(run_dir: Path) -> None:
    for lock in [RoleLock(run_dir, "buffer"), RoleLock(run_dir, "scheduler")]:
        lock.release()


def test_a_lock_tells_that_its_role_runs(run_dir: Path) -> None:
    assert not is_running(run_dir, "buffer")
    lock = RoleLock(run_dir, "buffer")
    assert is_running(run_dir, "buffer")
    assert not is_stack_running(run_dir)
    other = RoleLock(run_dir, "scheduler")
    assert is_stack_running(run_dir)
    lock.release()
    other.release()
    assert not is_running(run_dir, "buffer"), "the file that stays means nothing"


def test_looking_whether_a_role_runs_does_not_keep_it_from_starting(run_dir: Path) -> None:
    path = run_dir / "dashboard.lock"
    looking = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    fcntl.flock(looking, fcntl.LOCK_SH)
    locks: list[RoleLock] = []
    starting = threading.Thread(target=lambda: locks.append(RoleLock(run_dir, "dashboard")))
    starting.start()
    os.close(looking)
    starting.join()
    assert len(locks) == 1
    locks[0].release()


def test_a_lock_that_cannot_be_made_is_a_clear_error(run_dir: Path) -> None:
    with pytest.raises((ConfigError, StackError), match="buffer"):
        RoleLock(run_dir / "none", "buffer")


def test_the_standing_stack_is_found_before_private_ones(base: Path) -> None:
    private, shared = make_private_run_dir(), prepare_run_dir(base / "shared")
    assert find_run_dir() == shared
    lock = RoleLock(private, "buffer")
    assert find_run_dir() == private
    other = RoleLock(shared, "buffer")
    assert find_run_dir() == shared
    lock.release()
    other.release()


# ---------------------------------------------------------------- addresses


def test_every_channel_has_an_address_of_its_own(run_dir: Path) -> None:
    for stack in (Endpoints(run_dir), Endpoints(run_dir, "tcp://127.0.0.1:7000")):
        assert len({stack.address(channel) for channel in CHANNELS}) == len(CHANNELS)


def test_tcp_channels_take_consecutive_ports(run_dir: Path) -> None:
    stack = Endpoints(run_dir, "tcp://127.0.0.1:7000")
    ports = [int(stack.address(channel).rsplit(":", 1)[1]) for channel in CHANNELS]
    assert ports == list(range(7000, 7000 + len(CHANNELS)))
    assert stack.worker_inbox("w1") == "tcp://127.0.0.1:*"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost"])
def test_loopback_is_accepted(run_dir: Path, host: str) -> None:
    Endpoints(run_dir, f"tcp://{host}:7000")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.7", "example.org", "*", "[::]", "[::1]"])
def test_a_host_others_can_reach_is_refused(run_dir: Path, host: str) -> None:
    with pytest.raises(ConfigError, match=r"VSTACK_TCP_BASE.*loopback"):
        Endpoints(run_dir, f"tcp://{host}:7000")


@pytest.mark.parametrize(
    "base",
    [
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:80",
        "tcp://127.0.0.1:65535",
        "tcp://127.0.0.1:99999",
        "tcp://127.0.0.1:port",
        "tcp://[::1",
        "http://127.0.0.1:7000",
        "127.0.0.1:7000",
        "ipc:///tmp/x",
    ],
)
def test_what_is_no_tcp_base_is_refused(run_dir: Path, base: str) -> None:
    with pytest.raises(ConfigError, match="VSTACK_TCP_BASE"):
        Endpoints(run_dir, base)


def test_the_environment_names_the_stack(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VSTACK_RUN_DIR", str(run_dir / "mine"))
    monkeypatch.setenv("VSTACK_TCP_BASE", "tcp://127.0.0.1:7000")
    found = endpoints.endpoints_from_environment()
    assert (found.run_dir, found.tcp_base) == (run_dir / "mine", "tcp://127.0.0.1:7000")
    assert mode(run_dir / "mine") == 0o700
