"""Who may import whom, and what pure modules may touch; read from the source with ast."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("monitor", "scheduler", "buffer", "dashboard")
PRODUCT = (*PARTS, "common", "client", "simulation")
NOT_PRODUCT = {"cluster", "bench", "chaos", "tests", "tools"}
# The only places that put the parts together.
JOINTS = {"client", "main", "simulation"}
ADDRESS_MAKERS = {"common/endpoints.py", "common/sockets.py"}

# What a module that claims "No I/O" must not import.
IMPURE = {
    *(
        "asyncio",
        "concurrent",
        "fcntl",
        "http",
        "io",
        "logging",
        "multiprocessing",
        "os",
        "pathlib",
    ),
    *("queue", "requests", "select", "shutil", "signal", "socket", "subprocess", "sys", "tempfile"),
    *("threading", "time", "urllib3", "zmq", "flask", "av"),
}
# Modules of ours that pure ones may use although they make no claim themselves: errors and frozen settings are values.
# Rates read the recorded traces that a link names, as constants of the model.
VALUES = {"common.errors", "common.config", "simulation.rates"}
# A claim of purity with one exception, and its reason.
EXCEPTIONS = {
    # Its state is read from the web server's threads; the lock is all it takes from the module.
    "dashboard/feed.py": {"threading"},
}


@cache
def sources() -> dict[str, ast.Module]:
    """Return every module of the product by its path."""
    paths = [path for part in PRODUCT for path in sorted((ROOT / part).rglob("*.py"))]
    paths += [path for path in sorted(ROOT.glob("*.py")) if not path.name.startswith("test_")]
    return {
        path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in paths
    }


def module_name(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imports(tree: ast.AST) -> set[str]:
    """Return all modules imported at run time, also those imported late; `a.b` for `from a import b` too."""
    found: set[str] = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            found |= set().union(*map(imports, node.orelse)) if node.orelse else set()
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found.add(node.module or "")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        else:
            found |= imports(node)
    return found


def top(name: str) -> str:
    return name.partition(".")[0]


def claims_no_io(tree: ast.Module) -> bool:
    return "No I/O" in " ".join((ast.get_docstring(tree) or "").split())


PURE = [path for path, tree in sources().items() if claims_no_io(tree)]
PURE_NAMES = {module_name(path) for path in PURE} | VALUES


def test_every_part_is_looked_at() -> None:
    assert {top(module_name(path)) for path in sources()} >= {*PRODUCT, "main"}
    assert len(PURE) >= 20


@pytest.mark.parametrize("part", PARTS)
def test_parts_talk_only_by_messages(part: str) -> None:
    others = set(PARTS) - {part}
    offending = {
        path: wrong
        for path, tree in sources().items()
        if path.startswith(f"{part}/") and (wrong := {top(name) for name in imports(tree)} & others)
    }
    assert offending == {}


def test_common_depends_on_nobody() -> None:
    offending = {
        path: wrong
        for path, tree in sources().items()
        if path.startswith("common/")
        and (wrong := {top(name) for name in imports(tree)} & {*PARTS, "client", "main"})
    }
    assert offending == {}


def test_the_product_does_without_its_tools_and_tests() -> None:
    offending = {
        path: wrong
        for path, tree in sources().items()
        if (wrong := {top(name) for name in imports(tree)} & (NOT_PRODUCT - allowed_tools(path)))
    }
    assert offending == {}


def allowed_tools(path: str) -> set[str]:
    """Return what else a module may use: the simulation has its models of links from the embedded store."""
    return {"cluster"} if path.startswith("simulation/") else set()


def test_the_simulation_is_a_program_of_its_own() -> None:
    offending = [
        path
        for path, tree in sources().items()
        if not path.startswith("simulation/") and "simulation" in {top(n) for n in imports(tree)}
    ]
    assert offending == []


def test_only_the_client_puts_parts_together() -> None:
    offending = {
        path: parts
        for path, tree in sources().items()
        if len(parts := {top(name) for name in imports(tree)} & set(PARTS)) > 1
        and top(module_name(path)) not in JOINTS
    }
    assert offending == {}


@pytest.mark.parametrize("path", PURE)
def test_a_module_that_claims_no_io_imports_nothing_that_does_any(path: str) -> None:
    allowed = EXCEPTIONS.get(path, set())
    assert ({top(name) for name in imports(sources()[path])} & IMPURE) - allowed == set()


@pytest.mark.parametrize("path", PURE)
def test_a_pure_module_uses_only_pure_modules_of_ours(path: str) -> None:
    ours = {
        name
        for name in imports(sources()[path])
        if top(name) in PRODUCT and (ROOT / f"{name.replace('.', '/')}.py").exists()
    }
    assert ours - PURE_NAMES == set()


@pytest.mark.parametrize("path", PURE)
def test_a_pure_module_draws_no_numbers_of_its_own(path: str) -> None:
    # `random.Random` as the type of an argument, or made from a seed, is fine; calling anything else is not.
    calls = {
        ast.unparse(node.func)
        for node in ast.walk(sources()[path])
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).startswith("random.")
        and not (ast.unparse(node.func) == "random.Random" and node.args)
    }
    assert calls == set()


def test_addresses_are_made_in_one_place() -> None:
    offending = [
        f"{path}:{node.lineno}"
        for path, tree in sources().items()
        if path not in ADDRESS_MAKERS
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value.startswith(("ipc://", "tcp://"))
    ]
    assert offending == []


def test_sockets_and_contexts_are_made_in_one_place() -> None:
    makers = {
        path
        for path, tree in sources().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("zmq.Context", "context.socket")
    }
    assert makers == {"common/sockets.py"}
