from dataclasses import replace

import pytest

from napari_neural_style import Settings
from napari_neural_style.plugin.forecast import Forecast
from napari_neural_style.settings import texture_to_layers

from .conftest import TIMEOUT


@pytest.fixture
def forecast(qapp):
    forecast = Forecast()
    yield forecast
    forecast.hush()


def test_what_costs_nothing_is_not_estimated_again(forecast, qtbot):
    settings = Settings(preset="fast", size=32, steps=3, device="cpu", style_weights=(0.5, 0.5))
    with qtbot.waitSignal(forecast.told, timeout=TIMEOUT) as told:
        forecast.ask(settings, (32, 40))
    assert "GB" in told.args[0]
    changes = {
        "style_weight": 2.0,
        "content_weight": 3.0,
        "tv_weight": 0.0,
        "style_layers": texture_to_layers(80, "fast"),
        "style_weights": (0.2, 0.8),
        "color": "luminance",
    }
    for name, value in changes.items():
        forecast.ask(replace(settings, **{name: value}), (32, 40))
        assert not forecast._timer.isActive(), name
    forecast.ask(replace(settings, size=48), (32, 40))
    assert forecast._timer.isActive()


def test_what_could_not_be_estimated_is_tried_again(forecast, qtbot):
    settings = Settings(preset="fast", device="cuda:99")
    for _ in range(2):
        with qtbot.waitSignal(forecast.told, timeout=TIMEOUT) as told:
            forecast.ask(settings, (32, 40))
        assert told.args == [""]
