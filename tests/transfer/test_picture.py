"""Going on from another picture of the content."""

import numpy as np
import pytest

from napari_neural_style import StyleTransfer, stylize

RNG = np.random.default_rng(0)
CONTENT, STYLE = RNG.random((36, 48, 3)), RNG.random((40, 40, 3))
ON_CPU = {"device": "cpu", "precision": "float32"}


@pytest.mark.parametrize("optimizer", ["adam", "bounded-lbfgs", "lbfgs"])
def test_goes_on_from_an_earlier_picture(optimizer):
    transfer = StyleTransfer(
        CONTENT, STYLE, "fast", optimizer=optimizer, scales=(32, 48), steps=(6, 6), **ON_CPU
    )
    for _ in range(6):
        next(transfer)
    earlier = transfer.result
    for _ in transfer:
        pass
    transfer.update(picture=earlier)
    update = next(transfer)
    assert (update.step, update.total, update.scale) == (13, 24, 0)
    # A step from it, no more.
    assert np.abs(update.image - earlier).mean() < 0.1
    assert transfer.provenance()["changes"][-1]["picture"]
    assert np.isfinite(transfer.run()).all()


def test_a_new_run_starts_from_a_picture_at_its_scale():
    painted = stylize(CONTENT, STYLE, "fast", scales=(32, 48), steps=4, **ON_CPU)
    transfer = StyleTransfer(CONTENT, STYLE, "fast", scales=(32, 48), steps=(6, 3), **ON_CPU)
    transfer.update(picture=(painted * 255).round().astype(np.uint8))
    updates = list(transfer)
    assert [update.scale for update in updates] == [1, 1, 1]
    assert updates[0].total == 3
    first = updates[0].losses["total"]
    fresh = StyleTransfer(CONTENT, STYLE, "fast", scales=(48,), steps=1, **ON_CPU)
    assert first < next(fresh).losses["total"]


def test_a_picture_in_colour_is_taken_up_by_a_run_of_lightness():
    painted = stylize(CONTENT, STYLE, "fast", scales=(48,), steps=3, color="luminance", **ON_CPU)
    transfer = StyleTransfer(
        CONTENT, STYLE, "fast", scales=(48,), steps=3, color="luminance", **ON_CPU
    )
    transfer.update(picture=painted)
    assert np.abs(next(transfer).image - painted).mean() < 0.1


def test_what_is_no_picture_is_refused():
    transfer = StyleTransfer(CONTENT, STYLE, "fast", steps=3, size=32, **ON_CPU)
    with pytest.raises(ValueError, match="picture"):
        transfer.update(picture=np.zeros((3, 3, 7)))
    with pytest.raises(ValueError, match="picture"):
        transfer.update(picture=np.full((32, 32), np.nan))
