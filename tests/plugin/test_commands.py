import pytest
from napari._app_model import get_app_model
from napari.utils.notifications import notification_manager
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QMenu

from napari_neural_style.plugin.channels import Channels
from napari_neural_style.plugin.help import DOCUMENTATION
from napari_neural_style.plugin.layers import is_result
from napari_neural_style.plugin.widget import StyleTransferWidget

from .conftest import SMALL, TIMEOUT, picture

ENDLESS = 100_000
TITLES = {
    "style_transfer": "Style Transfer",
    "stylize": "Stylize the selected layer",
    "stop": "Stop style transfer",
    "drift": "Map the drift of a result",
    "open_sample": "Open sample pair",
    "help": "Help",
}


def execute(name):
    get_app_model().commands.execute_command(f"napari-neural-style.{name}")


def widgets(viewer):
    docked = viewer.window.dock_widgets.values()
    return [widget for widget in docked if isinstance(widget, StyleTransferWidget)]


def results(viewer):
    return [layer for layer in viewer.layers if is_result(layer)]


def said():
    return [record.message for record in notification_manager.records]


@pytest.fixture
def viewer(make_napari_viewer, preferences, qtbot):
    """A viewer with three images; the next run is small, but endless."""
    viewer = make_napari_viewer()
    for number, name in enumerate(("first", "second", "third")):
        viewer.add_image(picture(32, 40, seed=number), name=name)
    small = {**SMALL, "steps": ENDLESS}
    rows = "".join(f"  {name}: {value}\n" for name, value in small.items())
    (preferences / "napari-neural-style.yaml").write_text(f"style_transfer:\n{rows}")
    notification_manager.records.clear()
    yield viewer
    for widget in widgets(viewer):
        if widget["stop"].enabled:
            widget["stop"].native.click()
            qtbot.waitUntil(lambda w=widget: w["run"].enabled, timeout=TIMEOUT)


def submenu(menu, title):
    menu.aboutToShow.emit()
    found = [action.menu() for action in menu.actions() if action.text() == title]
    assert found, [action.text() for action in menu.actions()]
    return found[0]


def test_they_are_under_layers_filter(viewer):
    menu = submenu(submenu(viewer.window.layers_menu, "Filter"), "Neural Style")
    assert isinstance(menu, QMenu)
    menu.aboutToShow.emit()
    titles = [action.text() for action in menu.actions() if not action.isSeparator()]
    assert titles == [f"{title} (Neural Style)" for title in TITLES.values()]
    assert all(action.isEnabled() for action in menu.actions() if not action.isSeparator())


def test_they_are_in_the_command_palette(viewer):
    menus = get_app_model().menus
    items = [item.command for item in menus.get_menu(menus.COMMAND_PALETTE_ID)]
    palette = {item.id: item for item in items}
    for name, title in TITLES.items():
        assert palette[f"napari-neural-style.{name}"].title == f"{title} (Neural Style)"
    # A writer is given layers and a path; run by itself it could only fail.
    for name in ("write_16_bit", "write_float"):
        assert not palette[f"napari-neural-style.{name}"].enablement.eval({})


def test_the_selected_layer_is_painted(viewer, qtbot):
    viewer.layers.selection = {viewer.layers["second"]}
    execute("stylize")
    (widget,) = widgets(viewer)
    assert widget["content"].value is viewer.layers["second"]
    qtbot.waitUntil(lambda: bool(results(viewer)), timeout=TIMEOUT)
    assert results(viewer)[0].name == "second in the style of first"

    viewer.layers.selection = {viewer.layers["third"]}
    execute("stylize")
    assert said() == ["A run is going on: stop it before the next one."]
    assert widget["content"].value is viewer.layers["second"]

    execute("stop")
    qtbot.waitUntil(lambda: widget["run"].enabled, timeout=TIMEOUT)
    assert len(results(viewer)) == 1


def test_the_menu_hides_and_shows_the_same_dock(viewer):
    viewer.window.show()
    viewer.layers.selection = {viewer.layers["first"]}
    execute("stylize")
    (widget,) = widgets(viewer)
    assert widget.native.parent().isVisible()
    execute("style_transfer")
    assert not widget.native.parent().isVisible()
    execute("stylize")
    assert widget.native.parent().isVisible()
    assert widgets(viewer) == [widget]


def test_a_widget_that_is_open_is_used(viewer):
    _, widget = viewer.window.add_plugin_dock_widget("napari-neural-style", "Style Transfer")
    viewer.layers.selection = {viewer.layers["second"]}
    execute("stylize")
    assert widgets(viewer) == [widget]
    assert widget["content"].value is viewer.layers["second"]


def test_the_style_gives_way_to_the_content(viewer):
    _, widget = viewer.window.add_plugin_dock_widget("napari-neural-style", "Style Transfer")
    style = widget["style"].value
    viewer.layers.selection = {style}
    execute("stylize")
    assert widget["content"].value is style
    assert widget["style"].value is not style
    assert not widget["run"].enabled


def test_several_selected_layers_are_painted_together(viewer):
    chosen = [viewer.layers["first"], viewer.layers["second"]]
    viewer.layers.selection = set(chosen)
    execute("stylize")
    (widget,) = widgets(viewer)
    assert isinstance(widget["content"].value, Channels)
    assert list(widget["content"].value) == chosen


def test_what_cannot_be_painted_is_told(viewer, qtbot):
    viewer.layers.selection.clear()
    execute("stylize")
    assert not widgets(viewer)
    viewer.layers.selection = {viewer.layers["first"]}
    execute("stylize")
    qtbot.waitUntil(lambda: bool(results(viewer)), timeout=TIMEOUT)
    execute("stop")
    (widget,) = widgets(viewer)
    qtbot.waitUntil(lambda: widget["run"].enabled, timeout=TIMEOUT)
    viewer.layers.selection = set(results(viewer))
    execute("stylize")
    assert [sentence.partition(":")[0] for sentence in said()] == [
        "Select the image layer that is to be painted, then choose this again.",
        "A result cannot be painted again",
    ]


def test_stop_without_a_run_says_so(viewer):
    execute("stop")
    viewer.window.add_plugin_dock_widget("napari-neural-style", "Style Transfer")
    execute("stop")
    assert said() == ["No style transfer is going on."] * 2


def test_the_drift_of_nothing_is_said_in_the_widget(viewer):
    execute("drift")
    (widget,) = widgets(viewer)
    sentence = "There is no result to compare with its content: select one."
    assert said() == [sentence]
    assert widget._form.status.text().endswith(sentence)


def test_a_sample_pair_opens(make_napari_viewer):
    viewer = make_napari_viewer()
    execute("open_sample")
    assert [layer.name for layer in viewer.layers] == ["Colon (histology)", "Stained glass"]
    assert viewer.layers.selection.active.name == "Colon (histology)"  # for “Stylize …” to paint


@pytest.mark.parametrize("there_is_a_browser", [True, False])
@pytest.mark.usefixtures("viewer")
def test_help_opens_the_documentation(monkeypatch, there_is_a_browser):
    opened = []

    def open_url(url):
        opened.append(url.toString())
        return there_is_a_browser

    monkeypatch.setattr(QDesktopServices, "openUrl", open_url)
    execute("help")
    assert opened == [DOCUMENTATION]
    told = [] if there_is_a_browser else [DOCUMENTATION]
    assert [sentence.split()[-1] for sentence in said()] == told
