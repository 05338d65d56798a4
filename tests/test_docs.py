"""The documentation: it can be built, its links lead somewhere, and what it says to type works."""

import ast
import builtins
import re
import shlex
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from npe2 import PluginManifest

import napari_neural_style
from napari_neural_style import PRESETS, Settings, cli
from napari_neural_style.artwork import draw
from napari_neural_style.images import to_rgb, write_image

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
REPOSITORY = "napari-neural-style/napari-neural-style"
SITE = "https://napari-neural-style.github.io/napari-neural-style/"
OF_USERS = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
OF_DEVELOPERS = [
    *(
        ROOT / name
        for name in ("CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
    ),
    ROOT / "benchmarks/README.md",
]
SCHEDULER = "tcp://cluster:8786"
"""The address that the examples name."""


def name_of(page):
    return page.relative_to(ROOT).as_posix()


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder of the site, and how its building ended."""
    out = tmp_path_factory.mktemp("site")
    command = (sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", DOCS, out)
    return out, subprocess.run(command, capture_output=True, encoding="utf-8")


@pytest.fixture(scope="module")
def site(built):
    return built[0]


def test_site_is_built_without_a_warning(built):
    _, process = built
    assert process.returncode == 0, process.stderr


class Html(HTMLParser):
    """The names in a page that a link can lead to, and its links."""

    def __init__(self, path):
        super().__init__()
        self.names, self.links = {""}, []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attributes):
        for key, value in attributes:
            if key in ("id", "name"):
                self.names.add(value)
            elif key in ("href", "src") and value is not None:
                self.links.append(value)


def is_well_formed(link):
    """Whether an address of another site could be one; it is not visited."""
    parts = urlsplit(link)
    return parts.scheme == "https" and re.fullmatch(r"(\w[\w-]*\.)+\w+", parts.netloc) is not None


def test_links_of_the_site(site):
    pages = {path: Html(path) for path in site.glob("*.html")}
    assert len(pages) >= len(list(DOCS.glob("*.md")))
    broken = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme:
                leads = is_well_formed(link)
            else:
                target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
                leads = target.is_file()
                if target in pages:
                    leads = unquote(parts.fragment) in pages[target].names
            if not leads:
                broken.append(f"{path.relative_to(site)}: {link}")
    assert not broken


def anchors(markdown):
    """The names that GitHub gives the headings of a page."""
    text = re.sub(r"^```.*?^```", "", markdown, flags=re.M | re.S)
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings}


@pytest.mark.parametrize("page", OF_USERS + OF_DEVELOPERS, ids=name_of)
def test_links_of_a_page(page, site):
    text = page.read_text("utf-8")
    links = re.findall(r"\]\(([^)\s]+)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    own = re.compile(
        rf"https://(?:github\.com/{REPOSITORY}/(?:blob|tree)/main"
        rf"|raw\.githubusercontent\.com/{REPOSITORY}/main)/(.+)"
    )
    broken = []
    for link in links:
        address, _, anchor = link.partition("#")
        if address.startswith(SITE):
            target = site / (address.removeprefix(SITE) or "index.html")
            leads = target.is_file() and anchor in Html(target).names
        elif "://" in address and not own.match(address):
            leads = is_well_formed(address)
        else:
            # The README is also the page on PyPI, where no relative link leads anywhere.
            assert "://" in address or page.name != "README.md" or page.parent != ROOT, link
            known = own.match(address)
            target = ROOT / known[1] if known else (page.parent / address if address else page)
            leads = target.exists()
            if leads and anchor:
                leads = anchor in anchors(target.read_text("utf-8"))
        if not leads:
            broken.append(link)
    assert not broken


# ---------------------------------------------------------------- what it says to type


def blocks(page, language):
    """The blocks of code of a page."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)


def commands(page):
    """The commands of a page, as lists of words, with the programs' names."""
    lines = "".join(blocks(page, "console")).splitlines()
    return [shlex.split(line, comments=True) for line in lines]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with the files that the examples name."""
    import tifffile
    import zarr

    monkeypatch.chdir(tmp_path)
    y, x = np.mgrid[:32, :32] / 32
    disc = np.hypot(x - 0.5, y - 0.5) < 0.3
    for name in ("cells.png", "other.png"):
        write_image(name, np.stack([x, y, disc], -1))
    (tmp_path / "cells").mkdir()
    write_image("cells/1.png", np.stack([y, x, disc], -1))
    counts = (400 * x + 300 * disc).astype(np.uint16)
    for name in ("cells.tif", "actin.tif"):
        write_image(name, counts)
    style = to_rgb(draw("impasto", 64)[::2, ::2])
    for name in ("painting.jpg", "painting.png", "drawing.png"):
        write_image(name, style)
    write_image("nuclei.png", (255 * disc).astype(np.uint8))
    write_image("labels.tif", disc.astype(np.uint8) + 1)
    write_image("style-labels.tif", np.indices((32, 32), np.uint8)[0] // 16 + 1)
    movie = np.stack([np.roll(counts, 2 * i, axis=1) for i in range(3)])
    tifffile.imwrite("movie.ome.tif", movie, metadata={"axes": "TYX"})
    tifffile.imwrite("channels.ome.tif", np.stack([movie] * 2, 1), metadata={"axes": "TCYX"})
    zarr.save_array("movie.zarr", movie)


@pytest.fixture(scope="module")
def scheduler():
    """The address of a scheduler with a worker."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0"
    ) as cluster:
        yield cluster.scheduler_address


@pytest.mark.parametrize("page", [p for p in OF_USERS if commands(p)], ids=name_of)
def test_examples(page, folder, request, capsys):
    clustered = re.search("--scheduler|Client", page.read_text("utf-8"))
    scheduler = request.getfixturevalue("scheduler") if clustered else ""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for words in commands(page):
        line = " ".join(words)
        if words[0] == "make":
            assert f"\n{words[1]}:" in makefile
        extras = re.findall(r"napari-neural-style\[(\w+)\]", line)
        assert set(extras) <= set(project["optional-dependencies"])
        if line.startswith(("napari-neural-style stylize ", "napari-neural-style stack ")):
            given = [scheduler if word in (SCHEDULER, "local") else word for word in words[1:]]
            if "--resume" not in given:
                given += ["--steps", "3", "--budget", "none"]
            assert cli.main(given) == 0, capsys.readouterr().err
            assert Path(given[given.index("-o") + 1]).exists()
        elif line.startswith("napari-neural-style redo "):
            assert cli.main(words[1:]) == 0, capsys.readouterr().err
    code = "\n".join(blocks(page, "python")).replace(SCHEDULER, scheduler)
    if page.name != "README.md":
        exec(compile(code, page.name, "exec"), {})


@pytest.mark.parametrize("page", [p for p in OF_USERS if blocks(p, "python")], ids=name_of)
def test_examples_name_nothing_that_they_have_not_made(page):
    tree = ast.parse("\n".join(blocks(page, "python")))
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    made = {name.id for name in names if isinstance(name.ctx, ast.Store)} | set(dir(builtins))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            made |= {alias.asname or alias.name for alias in node.names}
    assert {name.id for name in names} <= made


@pytest.mark.parametrize("page", OF_USERS, ids=name_of)
def test_items_of_menus_have_the_names_that_napari_shows(page):
    manifest = PluginManifest.from_file(Path(napari_neural_style.__file__).with_name("napari.yaml"))
    contributed = {command.id: command.title for command in manifest.contributions.commands}
    (submenu,) = manifest.contributions.submenus
    titles = [contributed[item.command] for item in manifest.contributions.menus[submenu.id]]
    known = {f"{title} ({manifest.display_name})" for title in titles}
    text = " ".join(page.read_text("utf-8").split())
    menu = f"Layers ▸ Filter ▸ {submenu.label} ▸ "
    named = set(re.findall(rf"\*\*(?:{menu}|Plugins ▸ )([^*]+)\*\*", text))
    assert named <= known | {"Install/Uninstall Plugins..."}


@pytest.mark.parametrize("page", OF_USERS, ids=name_of)
def test_options_exist(page, capsys):
    known = {"--help"}
    for command in ("stylize", "stack", "redo", "demo"):
        assert cli.main([command, "--help"]) == 0
        known |= set(re.findall(r"--[\w-]+", capsys.readouterr().out))
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.M | re.S)
    code = " ".join(re.findall(r"`([^`\n]+)`", text))
    assert set(re.findall(r"(?<![\w-])--[a-z][\w-]*", code)) <= known


def test_every_setting_and_preset_is_explained():
    text = (DOCS / "settings.md").read_text("utf-8")
    named = set(re.findall(r"`(\w[\w-]*)`", text))
    fields = set(Settings.__dataclass_fields__) - {"preset"}
    assert fields | set(PRESETS) <= named


def test_pictures_are_small_enough():
    sizes = {path.name: path.stat().st_size for path in (DOCS / "images").iterdir()}
    assert sizes["gallery.jpg"] <= 1_500_000
    assert sizes["run.gif"] <= 2_000_000
