import pickle

import numpy as np
import pytest

from napari_neural_style.settings import make_settings
from napari_neural_style.stacks.task import Recipe

from .conftest import QUICK


def recipe(style, **settings):
    return Recipe([style], make_settings(**{**QUICK, **settings}), in_color=True)


def test_a_recipe_travels(style):
    there = pickle.loads(pickle.dumps(recipe(style))).on("cpu")
    assert there.settings == recipe(style).settings
    assert np.array_equal(there.styles[0], style)


@pytest.mark.parametrize(
    ("settings", "shape"),
    [
        ({"scales": "auto"}, (40, 50)),
        ({"scales": "auto", "size": 20}, (16, 20)),
        ({"scales": (16, 30)}, (24, 30)),
    ],
)
def test_results_are_as_large_as_the_settings_say(style, settings, shape):
    assert recipe(style, **settings).shape((40, 50, 3)) == shape
