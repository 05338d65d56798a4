import numpy as np
import pytest

from napari_neural_style.plugin.layers import displayed_plane, earlier_picture

from ..conftest import picture

PLACE = {"scale": (0.5, 2.0), "translate": (3.0, -1.0), "rotate": 20}


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy()


def place(plane, image, **attributes):
    data, placement = plane.geometry.place(image)
    return {"data": data, "rgb": image.ndim == 3} | placement | attributes


@pytest.mark.parametrize("shape", [(32, 40), (16, 20), (64, 80), (26, 32)])
def test_a_result_of_any_resolution_is_read(viewer, shape):
    content = viewer.add_image(picture(32, 40), **PLACE)
    plane = displayed_plane(content, viewer.dims)
    image = picture(*shape, 3)
    result = viewer.add_image(**place(plane, image, **plane.geometry.orientation))
    np.testing.assert_array_equal(earlier_picture(result, plane, viewer.dims), image)


def test_a_result_of_a_transposed_view_is_read_as_it_is_shown(viewer):
    content = viewer.add_image(np.stack([picture(32, 40)] * 3))
    viewer.dims.order = (0, 2, 1)
    plane = displayed_plane(content, viewer.dims)
    image = picture(40, 32)
    result = viewer.add_image(**place(plane, image, **plane.geometry.orientation))
    np.testing.assert_array_equal(earlier_picture(result, plane, viewer.dims), image)


@pytest.mark.parametrize(
    "moved", [{"translate": (0, 9)}, {"scale": (2, 2)}, {"rotate": 90}], ids=lambda m: next(iter(m))
)
def test_what_lies_elsewhere_is_refused(viewer, moved):
    content = viewer.add_image(picture(32, 40), name="cells")
    plane = displayed_plane(content, viewer.dims)
    other = viewer.add_image(picture(32, 40, 3), rgb=True, name="elsewhere", **moved)
    with pytest.raises(ValueError, match="“elsewhere” does not lie on the layer “cells”"):
        earlier_picture(other, plane, viewer.dims)
