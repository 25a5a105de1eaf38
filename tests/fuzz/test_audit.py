"""Reading never imports, compiles, calls or writes by what a file says: watched from outside, and read in the source."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import weightlift

import builders
from . import hostile

SOURCE = Path(weightlift.__file__).parent
ROOMS = ("pickles", "containers", "sources", "formats", "modules", "tensors/rebuild.py", "tensors/arrays.py", "tree.py", "selection.py",
         "scans")  # fmt: skip
RUNNING = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "execfile",
    "breakpoint",
    "input",
    "globals",
    "vars",
    "setattr",
    "delattr",
}
OWN_FORMATS = {"formats/registry.py": {"import_module"}}
"""Where our own modules are imported by a table of ours."""


def _sources() -> list[Path]:
    found = [SOURCE / room for room in ROOMS]
    return [
        path for each in found for path in (sorted(each.rglob("*.py")) if each.is_dir() else [each]) if path.exists()
    ]


def _name(call: ast.Call) -> str:
    return (
        call.func.id
        if isinstance(call.func, ast.Name)
        else call.func.attr
        if isinstance(call.func, ast.Attribute)
        else ""
    )


@pytest.mark.parametrize("path", _sources(), ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_no_source_on_the_way_of_a_file_can_run_it(path):
    """Nothing that reads files imports by name, evaluates text, or takes an attribute whose name is not written there."""
    allowed = OWN_FORMATS.get(path.relative_to(SOURCE).as_posix(), set())
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name = _name(node)
            own = (
                isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "re"
            )
            assert own or name not in (RUNNING | {"import_module"}) - allowed, f"{name} in line {node.lineno}"
            if name in ("getattr", "attrgetter", "methodcaller"):
                assert isinstance(node.args[1], ast.Constant), f"{name} in line {node.lineno}"
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + [getattr(node, "module", "") or ""]
            banned = {"pickle", "runpy", "subprocess", "ctypes", "marshal", "code", "socket", "shutil"}
            assert not banned & {name.partition(".")[0] for name in names} or getattr(node, "level", 0), node.lineno
            assert "importlib" not in {name.partition(".")[0] for name in names} or allowed, node.lineno


_WATCH = """
import json, os, sys
folder, out = sys.argv[1:]
import weightlift as wl
from weightlift.faces.as_json import inspection_json
from weightlift.faces.text import render_inspection
from weightlift.actions.inspect import inspect
from weightlift.actions.extract import extract
events, on = [], False
def loading():  # a module, or a dataclass of ours; every import is listed by its name
    frame = sys._getframe(2)
    while frame and not frame.f_code.co_filename.startswith("<frozen importlib"):
        if frame.f_code.co_filename.endswith("dataclasses.py"): return True
        frame = frame.f_back
    return frame is not None
def hook(event, args):
    if not on: return
    if event == "import":
        events.append([event, str(args[0])])
    elif event in ("exec", "compile", "marshal.loads"):
        if not loading(): events.append([event, repr(args)[:200]])
    elif event == "open":
        mode, flags = args[1], args[2]
        if (isinstance(mode, str) and set(mode) & set("wax+")) or flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            if not str(args[0]).startswith(out): events.append([event, repr(args)[:200]])
    elif event.startswith(("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "subprocess", "socket", "ctypes",
                           "pickle", "code.", "webbrowser", "shutil", "pty", "ftplib", "urllib", "sqlite3", "winreg")):
        events.append([event, repr(args)[:200]])
sys.addaudithook(hook)
read = 0
for name in sorted(os.listdir(folder)):
    path = os.path.join(folder, name)
    on = True
    try:
        for work in (lambda: render_inspection(inspect(path), width=80), lambda: inspection_json(inspect(path)),
                     lambda: extract(path, os.path.join(out, name + ".safetensors"))):
            try:
                work()
                read += 1
            except wl.WeightliftError as error:
                str(error)
    finally:
        on = False
print(json.dumps({"events": events, "read": read}))
"""


def test_hostile_files_make_nothing_happen(tmp_path):
    """Inspecting and extracting every hostile file runs and starts nothing, and imports nothing that a file names."""
    files, out, marker = tmp_path / "files", tmp_path / "out", tmp_path / "marker"
    files.mkdir()
    out.mkdir()
    made = hostile.every(str(marker))
    for name, data in made.items():
        (files / name).write_bytes(data)
    ran = subprocess.run(
        [sys.executable, "-c", _WATCH, str(files), str(out)], capture_output=True, text=True, check=True, timeout=200,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    told = json.loads(ran.stdout)
    assert told["read"] > len(made)
    assert not marker.exists()
    assert {tuple(each) for each in told["events"] if each[0] != "import"} == set()
    imported = {name.partition(".")[0] for event, name in told["events"] if event == "import"}
    assert imported - {"weightlift", "numpy", "ml_dtypes"} <= sys.stdlib_module_names
    assert not imported & hostile.MODULES


def test_the_watch_sees_what_happens(tmp_path):
    """What a plain unpickling of such a file does, the same watch tells: it is not blind."""
    (tmp_path / "files").mkdir()
    code = _WATCH.replace("import json, os, sys", "import json, os, sys, pickle").replace(
        "inspect(path), width=80", "1, 2"
    )
    code = code.replace("render_inspection(1, 2)", "pickle.loads(b'cantigravity\\nx\\n.') if 0 else os.system('true')")
    (tmp_path / "files" / "a").write_bytes(builders.torch_zip())
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "files"), str(tmp_path)], capture_output=True, text=True, check=True,
        timeout=100, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert "os.system" in {event for event, _ in json.loads(ran.stdout)["events"]}
