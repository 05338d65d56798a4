"""Whole runs in tiles against runs in one piece, by way of the setting."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from tests.reference.images import pair

from napari_neural_style import PRESETS, StyleTransfer
from napari_neural_style.layers import LAYERS
from napari_neural_style.transfer.memory import plan_tiles
from napari_neural_style.transfer.objective import Objective

SHALLOW = {"content_layers": "relu2_1", "style_layers": ("relu1_1", "pool1", "conv2_1")}


def transfer(shape, tile, **settings):
    """A run at the content's own size that starts between content and noise."""
    content, style = pair(*shape)
    start = (content + np.random.default_rng(3).uniform(0.1, 0.9, content.shape)) / 2
    given = {"device": "cpu", "precision": "float32", "scales": (max(shape),), "init": start}
    return StyleTransfer(content, style, tile=tile, **{**given, **settings})


def first_evaluation(shape, tile, **settings):
    """Losses and gradient where a run starts."""
    found = []
    evaluate = Objective.__call__

    def record(objective, variable, *args):
        evaluation = evaluate(objective, variable, *args)
        found.append((evaluation.losses.clone(), evaluation.gradient.clone()))
        return evaluation

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Objective, "__call__", record)
        next(transfer(shape, tile, **settings))
    return found[0]


def assert_the_same(whole, tiles, tolerance):
    losses, gradient = whole
    assert tiles[0].tolist() == pytest.approx(losses.tolist(), rel=tolerance)
    assert (tiles[1] - gradient).norm() <= tolerance * gradient.norm()


def test_an_image_of_97_pixels_is_cut_at_64():
    plan = plan_tiles(64, torch.float32, torch.device("cpu"))
    first, *_ = plan.segments(LAYERS, 97, 61, torch.float32)
    assert len(first.strips(97, plan.rows(first, 97, 61))) > 1


@pytest.mark.parametrize("preset", PRESETS)
def test_every_methods_gradient_is_the_same(preset):
    settings = {"preset": preset, "steps": 1, "tv_weight": 1.0}
    whole, tiles = (first_evaluation((97, 61), tile, **settings) for tile in ("off", 64))
    assert_the_same(whole, tiles, 1e-5)


@pytest.mark.parametrize("pooling", ["max", "avg"])
@pytest.mark.parametrize(
    "weights",
    [
        {"content_weight": 1.0, "style_weight": 0.0},
        {"content_weight": 0.0, "style_weight": 1.0},
        {"content_weight": 0.0, "style_weight": 1e-9, "tv_weight": 1.0},
    ],
    ids=["content", "style", "total variation"],
)
def test_every_losss_gradient_is_the_same(pooling, weights):
    settings = {"pooling": pooling, "steps": 1, **weights}
    whole, tiles = (first_evaluation((97, 61), tile, **settings) for tile in ("off", 64))
    assert_the_same(whole, tiles, 1e-5)


@given(
    shape=st.tuples(st.integers(16, 140), st.integers(16, 140)),
    tile=st.integers(64, 96),
    pooling=st.sampled_from(["max", "avg"]),
    style=st.lists(
        st.sampled_from(["relu1_1", "pool1", "conv2_2", "pool2", "relu3_1"]),
        min_size=1,
        max_size=2,
        unique=True,
    ),
    content=st.sampled_from(["conv1_1", "pool1", "relu2_1"]),
)
@budget(max_examples=12)
def test_any_tiles_have_the_same_gradient(shape, tile, pooling, style, content):
    """In float64: where two numbers tie but for rounding, max pooling leaps from one to the other.

    The least side of a tile is 64 pixels, so that only larger images are cut.
    """
    settings = {
        "precision": "float64",
        "pooling": pooling,
        "style_layers": tuple(style),
        "content_layers": content,
        "tv_weight": 1.0,
        "steps": 1,
    }
    whole, tiles = (first_evaluation(shape, t, **settings) for t in ("off", tile))
    assert_the_same(whole, tiles, 1e-11)


def pictures(shape, **settings):
    return [
        transfer(shape, tile, tv_weight=5, steps=50, **SHALLOW, **settings).run()
        for tile in ("off", 64)
    ]


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize(
    ("optimizer", "learning_rate", "pooling"),
    [("adam", 0.04, "max"), ("lbfgs", 1, "avg"), ("bounded-lbfgs", 0.04, "max")],
)
def test_the_picture_is_the_same(optimizer, learning_rate, pooling, precision):
    """Though L-BFGS magnifies the last digit: a start that differs by one part in ten million
    leads in float32 to a picture that differs by 0.005 on average."""
    whole, tiles = pictures(
        (97, 33),
        precision=precision,
        optimizer=optimizer,
        learning_rate=learning_rate,
        pooling=pooling,
    )
    assert np.abs(whole - tiles).max() < 1e-6
