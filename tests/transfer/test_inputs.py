import dataclasses

import numpy as np
import pytest
import torch

from napari_neural_style import Settings
from napari_neural_style.transfer.inputs import Inputs, content_tensor, style_tensors

CONTENT = np.random.default_rng(0).random((32, 40, 3))


def inputs(content=CONTENT, style=CONTENT, **settings):
    images = content_tensor(content, torch.float32), style_tensors(style, torch.float32)
    return Inputs(Settings(**settings), *images)


def test_what_is_changed_fits_or_is_refused():
    before = inputs(style_weights=(2,))
    two = style_tensors([CONTENT, CONTENT[::-1]], torch.float32)
    with pytest.raises(ValueError, match="has 1 weights for 2 style images"):
        before.changed({"style": two})
    with pytest.raises(ValueError, match=r"^style_weights=.{0,80} has 5000 weights for 1 style"):
        before.changed({"style_weights": (1,) * 5000})  # of a stranger's recipe
    after = before.changed({"style": two, "style_weights": (1, 2), "size": 64})
    assert after.styles is two
    assert after.content is before.content
    assert after.shapes == ((51, 64),)
    assert before.settings.size is None
    with pytest.raises(ValueError, match="at least 16 each way"):
        before.changed({"content": before.content[:, :, :8]})


def test_steps_in_all_are_known_where_they_are_asked_for():
    assert inputs(steps=30).total == 30
    assert inputs(steps=(30,)).total is None
    assert inputs(steps=30, budget=3).total is None


def test_a_digest_is_of_the_pixels():
    one, other = inputs(style=[CONTENT, CONTENT[::-1]]), inputs(style=[CONTENT[::-1], CONTENT])
    assert one.style_digests == other.style_digests[::-1]
    assert len(set(one.style_digests)) == 2
    assert inputs(style=CONTENT[:16]).style_digests[0] not in one.style_digests
    exact = dataclasses.replace(one, styles=tuple(style.double() for style in one.styles))
    assert exact.style_digests == one.style_digests


def test_images_go_with_a_tensor():
    moved = inputs(style=[CONTENT, CONTENT]).to(torch.empty(0, dtype=torch.float64))
    assert {image.dtype for image in (moved.content, *moved.styles)} == {torch.float64}
    assert len(moved.styles) == 2
