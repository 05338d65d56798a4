from napari.components import ViewerModel

from napari_neural_style.plugin.layers import METADATA_KEY, is_result, quoted

from .conftest import picture


def test_long_names_are_shortened_in_messages():
    viewer = ViewerModel()
    assert quoted(viewer.add_image(picture(), name="short")) == "“short”"
    layer = viewer.add_image(picture(), name="2024-03-12_experiment_07_actin_channel_488nm_raw")
    assert quoted(layer) == "“2024-03-12_exper…hannel_488nm_raw”"


def test_results_are_told_by_their_recipe():
    viewer = ViewerModel()
    assert not is_result(viewer.add_image(picture()))
    assert is_result(viewer.add_image(picture(), metadata={METADATA_KEY: {}}))
