import socket
from functools import cache
from importlib import import_module
from itertools import pairwise

import numpy as np
import pytest
from napari.layers import Image
from npe2 import PluginManifest

from napari_neural_style.artwork import ARTWORKS
from napari_neural_style.plugin import samples

PAIRS = (
    samples.cells,
    samples.histology,
    samples.actin,
    samples.retina,
    samples.cat,
    samples.coffee,
)


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise OSError("a sample must not need the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@cache
def layers_of(provider):
    layer_data = provider()
    assert all(kind == "image" for _, _, kind in layer_data)
    return [Image(data, **attributes) for data, attributes, _ in layer_data]


@pytest.mark.parametrize("provider", PAIRS)
def test_a_pair_is_a_content_and_a_style_beside_it(provider):
    content, style = layers_of(provider)
    assert style.rgb
    assert style.name in {artwork.title for artwork in ARTWORKS.values()}
    assert content.name != style.name
    assert content.units == style.units
    assert style.extent.world[0, 1] > content.extent.world[1, 1]
    heights = [np.ptp(layer.extent.world[:, 0]) for layer in (content, style)]
    assert heights[1] == pytest.approx(heights[0], rel=0.01)


@pytest.mark.parametrize("provider", PAIRS)
def test_contents_use_their_contrast_limits(provider):
    content, _ = layers_of(provider)
    low, high = content.contrast_limits
    shown = np.clip((content.data.astype(float) - low) / (high - low), 0, 1)
    assert np.percentile(shown, 99.5) > 0.7
    assert np.percentile(shown, 2) < 0.3


def test_every_style_picture_is_in_some_pair():
    shown = {layers_of(provider)[1].name for provider in PAIRS}
    assert shown == {artwork.title for artwork in ARTWORKS.values()}


@pytest.mark.parametrize("provider", [samples.cells, samples.actin])
def test_what_is_synthetic_says_so_and_is_calibrated(provider):
    content, _ = layers_of(provider)
    assert "synthetic" in content.name
    assert {str(unit) for unit in content.units} == {"micrometer"}
    np.testing.assert_allclose(content.scale, 0.16)


def test_actin_is_16_bit_greyscale():
    content, _ = layers_of(samples.actin)
    assert content.data.dtype == np.uint16
    assert not content.rgb
    assert content.ndim == 2


def test_all_style_pictures_lie_side_by_side():
    layers = layers_of(samples.styles)
    assert [layer.name for layer in layers] == [artwork.title for artwork in ARTWORKS.values()]
    edges = [layer.extent.world[:, 1] for layer in layers]
    assert all(left[1] < right[0] for left, right in pairwise(edges))


def test_the_demo_shows_the_sample_pair_called_demo():
    content, content_attributes, style, style_attributes = samples.demo_pair()
    (data, attributes, _), (picture, picture_attributes, _) = samples.histology()
    np.testing.assert_array_equal(content, data)
    np.testing.assert_array_equal(style, picture)
    assert (content_attributes, style_attributes) == (attributes, picture_attributes)


def test_the_manifest_offers_every_sample():
    manifest = PluginManifest.from_distribution("napari-neural-style")
    commands = {command.id: command.python_name for command in manifest.contributions.commands}
    offered = {}
    for sample in manifest.contributions.sample_data:
        module, function = commands[sample.command].split(":")
        offered[sample.key] = getattr(import_module(module), function)
    assert set(offered.values()) == {*PAIRS, samples.channels, samples.styles}
    assert offered["demo"] is samples.histology


def test_the_channels_lie_on_each_other_with_a_region_on_the_nuclei():
    *images, (labels, attributes, kind) = samples.channels()
    *channels, style = (Image(data, **attributes) for data, attributes, _ in images)
    assert [channel.name for channel in channels] == ["Nuclei", "Actin", "Mitochondria"]
    assert len({channel.extent.world.tobytes() for channel in channels}) == 1
    assert all(channel.blending == "additive" for channel in channels)
    assert style.extent.world[0, 1] > channels[0].extent.world[1, 1]
    assert kind == "labels"
    assert set(np.unique(labels)) == {0, 1}
    assert 0.05 < labels.mean() < 0.4
    nuclei = channels[0].data
    assert nuclei[labels == 1].mean() > 3 * nuclei[labels == 0].mean()
    assert attributes["scale"] == tuple(channels[0].scale)
