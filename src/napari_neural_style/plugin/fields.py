"""The widget's controls, by name, and what their tooltips say."""

from collections.abc import Callable
from typing import Any

from magicgui.types import FileDialogMode
from magicgui.widgets import CheckBox, FileEdit, LineEdit, PushButton

from ..settings import MAX_SIZE, PRESETS
from .controls import Choice, CountBox, LayerBox, PercentSlider, WeightBox

EVERYWHERE = "everywhere"
"""Chosen instead of a layer of regions in the content."""
WHOLE_STYLE = "whole style"
"""Chosen instead of a layer of regions in the style."""
NO_STYLE = "none"
"""Chosen instead of a second style."""
WEIGHTS_FILE = "a file …"
"""Chosen to look for a file of weights."""

Choices = Callable[[Any], list[tuple[str, Any]]]


def make_controls(contents: Choices, styles: Choices, regions: Choices) -> list[Any]:
    """Make the controls, given what offers images to paint, styles, and layers of regions."""
    return [
        *_images(contents, styles),
        *_settings(),
        *_second_style(styles),
        *_regions(regions),
        *_details(),
        *_output(),
        *_buttons(),
    ]


def _images(contents: Choices, styles: Choices) -> list[Any]:
    return [
        LayerBox(
            name="content",
            choices=contents,
            tooltip="The image layer to paint anew. To paint several channels as they look "
            "together, select them in the layer list, then choose them here.",
        ),
        LayerBox(
            name="style",
            choices=styles,
            tooltip="The image layer whose strokes, texture and colours to paint with. Another "
            "may be chosen while a run goes on, and this one drawn in: the picture follows.",
        ),
    ]


def _settings() -> list[Any]:
    return [
        Choice(
            name="preset",
            choices=list(PRESETS),
            tooltip="The recipe: how content and style are compared, and how the image "
            "is optimised.",
        ),
        PercentSlider(
            name="style_strength",
            value=50,
            tooltip="How much of the style: 0 % leaves the content nearly as it is, "
            "at 100 % the style takes over; 50 % is the preset's own. Live: may be moved while "
            "a run goes on.",
        ),
        PercentSlider(
            name="texture",
            value=50,
            tooltip="Which of the style's patterns: towards 0 % the fine grain, towards 100 % "
            "the large shapes; 50 % is the preset's own balance. Live. The equalizer under "
            "Details shows what it does.",
        ),
        Choice(
            name="color",
            choices=[
                ("the style's", "style"),
                ("the content's: only lightness changes", "luminance"),
                ("the style's, matched to the content", "match"),
            ],
            tooltip="Whose colours the result has. “The content's” keeps hue and chroma, "
            "so that stains and channels can still be told apart. Live.",
        ),
        CountBox(
            " px",
            name="size",
            min=0,
            least=16,
            max=MAX_SIZE,
            step=64,
            value=512,
            tooltip="Longest side of the result, in pixels. Smaller is faster; the result "
            "covers the content at any size. 0: the content's own size, or the preset's, as the "
            "box then says. Live: the picture goes on at the new size.",
        ),
        CountBox(
            " steps",
            name="steps",
            min=0,
            max=100_000,
            step=50,
            value=0,
            tooltip="How many steps to paint in all. 0: as many as the preset says. Live: more "
            "or fewer may be asked for while a run goes on. A size chosen meanwhile has steps of "
            "its own, which are added: the run's total, in the line below, is then more.",
        ),
        Choice(
            name="device",
            choices=[("auto", "auto"), ("CPU", "cpu")],
            tooltip="What computes. A graphics card is ten to a hundred times as fast as "
            "the CPU; auto takes the fastest there is.",
        ),
    ]


def _second_style(styles: Choices) -> list[Any]:
    return [
        LayerBox(
            name="style_2",
            choices=lambda box: [("none", NO_STYLE), *styles(box)],
            tooltip="A second image layer to paint with, mixed with the first.",
        ),
        PercentSlider(
            name="mix",
            value=50,
            tooltip="The second style's share of the mix: 0 % is the first style alone, 100 % "
            "the second. Live.",
        ),
    ]


def _regions(regions: Choices) -> list[Any]:
    return [
        LayerBox(
            name="mask",
            choices=lambda box: [(EVERYWHERE, EVERYWHERE), *regions(box)],
            tooltip="A Labels or Shapes layer on the content: only what it marks is painted, "
            "the other pixels stay as they are. Live, while you draw in it too.",
        ),
        LayerBox(
            name="style_mask",
            choices=lambda box: [("the whole style", WHOLE_STYLE), *regions(box)],
            tooltip="A Labels or Shapes layer on the style: what is labelled 1 there paints "
            "what is labelled 1 on the content, and so on. For one style, not for a mix.",
        ),
        CountBox(
            " px",
            name="feather",
            min=0,
            max=1000,
            value=4,
            tooltip="How wide the regions fade out at their edges, inwards, in pixels of the "
            "result. 0: a sharp edge.",
        ),
    ]


def _details() -> list[Any]:
    return [
        WeightBox(
            name="content_weight",
            tooltip="Weight of the content loss: larger keeps more of the content's structure. "
            "Live.",
        ),
        WeightBox(
            name="tv_weight",
            tooltip="Weight of the total variation: larger makes smoother areas, 0 leaves "
            "all grain. Live.",
        ),
        Choice(
            name="weights",
            choices=[
                ("original", "original"),
                ("torchvision", "torchvision"),
                (WEIGHTS_FILE, WEIGHTS_FILE),
            ],
            tooltip="The weights of the VGG19 encoder. The original ones are installed along, "
            "and artists prefer them; torchvision's are downloaded once (548 MB).",
        ),
    ]


def _output() -> list[Any]:
    return [
        Choice(
            name="output",
            choices=[("colour (RGB)", "rgb"), ("intensity (one channel)", "intensity")],
            tooltip="Colour, or one channel with the content's data type, colormap and "
            "contrast limits, for a content of one channel.",
        ),
        CheckBox(
            name="whole_stack",
            text="Whole stack",
            tooltip="Paint all planes of the content, one after another, steady in time. For a "
            "layer of three or more dimensions, or several such channels together. With labels "
            "of all its planes as region, each plane has its own.",
        ),
        FileEdit(
            name="save_to",
            mode=FileDialogMode.OPTIONAL_FILE,
            filter="*.zarr",
            nullable=True,
            tooltip="The zarr array on disk that a stack is painted into, plane by plane. A "
            "stack that was stopped goes on there. Empty: in a folder of its own, named when "
            "it is done.",
        ),
        LineEdit(
            name="scheduler",
            tooltip="Address of a dask scheduler that spreads the planes over its workers, "
            "such as tcp://host:8786, or “local” for workers on this machine. Empty: here, "
            "plane after plane.",
        ),
        FileEdit(
            name="checkpoint",
            mode=FileDialogMode.OPTIONAL_FILE,
            filter="*.safetensors",
            nullable=True,
            tooltip="A file that the run is saved to every half minute: whatever ends napari, "
            "⋯ ▸ Resume from a checkpoint goes on from there. One of another run is "
            "replaced, unless that was interrupted: then it is kept beside. Empty: none.",
        ),
    ]


def _buttons() -> list[Any]:
    return [
        PushButton(
            name="run",
            text="Run",
            tooltip="Paint the content in the style, into a new layer over the content. "
            "Ctrl-Enter does the same.",
        ),
        PushButton(name="pause", text="Pause", tooltip="Wait; Resume goes on from here."),
        PushButton(
            name="stop",
            text="Stop",
            tooltip="End here; what was painted stays. Ctrl-Shift-Enter does the same.",
        ),
        PushButton(
            name="go_on",
            text="Continue",
            tooltip="Go on painting in the selected result layer, with the settings as they "
            "are now.",
        ),
    ]
