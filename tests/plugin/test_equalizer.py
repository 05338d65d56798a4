import pytest
from qtpy.QtWidgets import QLabel

from napari_neural_style.plugin.equalizer import Equalizer

OWN = {"relu1_1": 1.0, "relu2_1": 0.5, "relu3_1": 2.0}


@pytest.fixture
def equalizer(qtbot):
    made = Equalizer()
    qtbot.addWidget(made)
    made.offer(OWN, OWN)
    made.told = []
    made.changed.connect(lambda: made.told.append(made.weights))
    return made


def test_the_presets_own_weights_stand_in_the_middle(equalizer):
    assert equalizer.weights == OWN
    assert [slider.value() for slider in equalizer._sliders.values()] == [50, 50, 50]
    labels = [label.text() for label in equalizer.findChildren(QLabel)]
    assert labels == ["1_1", "2_1", "3_1"]


def test_a_slider_changes_its_own_weight_alone(equalizer):
    equalizer._sliders["relu2_1"].setValue(100)
    (weights,) = equalizer.told
    assert weights["relu2_1"] == pytest.approx(0.5 * 10**1.5)
    assert (weights["relu1_1"], weights["relu3_1"]) == (1.0, 2.0)
    equalizer._sliders["relu2_1"].setValue(0)
    assert equalizer.weights["relu2_1"] == 0


def test_weights_that_are_shown_stay_as_they_are(equalizer):
    exact = {"relu1_1": 0.123456789, "relu2_1": 1e9, "relu3_1": 0.0}
    equalizer.show_weights(exact)
    assert equalizer.weights == exact
    assert equalizer.told == []
    assert equalizer._sliders["relu2_1"].value() == 100
    assert equalizer._sliders["relu3_1"].value() == 0


def test_other_layers_replace_those_there_were(equalizer):
    equalizer.offer({"conv1_1": 1.0}, {"conv1_1": 3.0})
    assert equalizer.weights == {"conv1_1": 3.0}
    assert list(equalizer._sliders) == ["conv1_1"]


def test_every_slider_says_what_it_weighs(equalizer):
    tips = [slider.toolTip() for slider in equalizer._sliders.values()]
    assert ["finest" in tip for tip in tips] == [True, False, False]
    assert ["largest" in tip for tip in tips] == [False, False, True]
