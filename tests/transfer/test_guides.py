import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from scipy import ndimage
from tests.reference.common import to_tensor
from tests.reference.images import pair
from torch.nn import functional as F

from napari_neural_style import PRESETS, Settings, StyleTransfer
from napari_neural_style.images import to_rgb
from napari_neural_style.layers import LAYERS, find_layer
from napari_neural_style.transfer import guides
from napari_neural_style.transfer.encoder import Encoder
from napari_neural_style.transfer.guides import Mask, check_masks, cover, make_guides, soft_edge
from napari_neural_style.transfer.memory import plan_tiles
from napari_neural_style.transfer.objective import (
    Objective,
    StyledRegion,
    layer_weights,
    layers_of,
    style_targets,
)
from napari_neural_style.transfer.spaces import image_space
from napari_neural_style.transfer.weights import load_weights

CPU = torch.device("cpu")
PLAIN = {"device": "cpu", "precision": "float32"}
SHALLOW = {"content_layers": "relu2_1", "style_layers": ("relu1_1", "conv2_1")}
SHAPE = 48, 60


def regions(height=48, width=60, labels=(1, 2)):
    """Two labels, one with a hole, that touch, and much that is outside."""
    mask = np.zeros((height, width), np.uint8)
    mask[height // 8 : height // 2, width // 8 : -width // 6] = labels[0]
    mask[height // 4 : -height // 6, width // 2 :] = labels[1]
    mask[height // 4 : height // 3, width // 4 : width // 3] = 0
    return mask


def halves(height=48, width=60, labels=(1, 2)):
    mask = np.full((height, width), labels[0], np.int32)
    mask[:, width // 2 :] = labels[1]
    return mask


def start(content, style, preset="default", **overrides):
    scales = (max(np.shape(content)[:2]),)
    return StyleTransfer(
        content, style, preset, **{**PLAIN, **SHALLOW, "scales": scales, "steps": 4, **overrides}
    )


# ------------------------------------------------------------------- the method


def features_of(weights, image, layers, pooling):
    """VGG19's features, by torch's autograd."""
    found, x = {}, image
    for layer in LAYERS[: max(layer.index for layer in layers) + 1]:
        if layer.kind == "conv":
            weight, bias = (weights[f"features.{layer.index}.{k}"] for k in ("weight", "bias"))
            x = F.conv2d(x, weight.double(), bias.double(), padding=1)
        elif layer.kind == "relu":
            x = F.relu(x)
        else:
            x = F.max_pool2d(x, 2) if pooling == "max" else F.avg_pool2d(x, 2)
        if layer in layers:
            found[layer] = x
    return found


def guided_gram(features, coverage, stride):
    """Equation 5 of Gatys et al. 2017, over all positions, divided by the region's size."""
    guide = F.avg_pool2d(coverage, stride)
    guided = (features * guide).flatten(2)[0]
    return guided @ guided.T / guide.square().sum()


def literal(settings, weights, space, content, style, image, coverages, style_coverages, alpha):
    """The guided objective of a preset with relative losses, as a formula."""
    style_layers = [find_layer(name) for name in settings.style_layers]
    (content_layer,) = layer_weights(settings.content_layers)
    layers = {*style_layers, content_layer}

    def features(rgb):
        return features_of(weights, space.encoder_input(rgb), layers, settings.pooling)

    judged = content + alpha * (image - content)
    found, wanted, painted_with = features(judged), features(content), features(style)
    loss, energy, whole = 0, 0, 0
    for coverage, style_coverage in zip(coverages, style_coverages, strict=True):
        share = coverage.mean()
        for layer in style_layers:
            gram = guided_gram(found[layer], coverage, layer.stride)
            target = guided_gram(painted_with[layer], style_coverage, layer.stride)
            distance = (gram - target).square().sum() / target.square().sum()
            loss = loss + settings.style_weight * share * distance / len(style_layers)
        guide = F.avg_pool2d(style_coverage, content_layer.stride)
        square = (painted_with[content_layer] * guide).square().sum() / guide.square().sum()
        energy, whole = energy + share * square, whole + share
    target = wanted[content_layer]
    positions = target.shape[2] * target.shape[3]
    energy = (energy / whole + target.square().sum() / positions) / 2
    difference = (found[content_layer] - target).square().sum()
    loss = loss + settings.content_weight * difference / (positions * energy)
    down, across = judged.diff(dim=2).abs().mean(), judged.diff(dim=3).abs().mean()
    return loss + settings.tv_weight * (down + across) / 2


class Problem:
    """A guided objective, and what it is made of."""

    def __init__(self, settings, shape, dtype=torch.float64, tile="off"):
        content, style = pair(*shape)
        self.style = style[:, ::-1][: shape[0] - 5].copy()
        style_mask = halves(*self.style.shape[:2])
        settings = dataclasses.replace(settings, mask=regions(*shape), style_masks=style_mask)
        wide = torch.float64 if dtype == torch.float64 else torch.float32
        self.settings = settings
        self.weights = load_weights("original", normalize=settings.method.normalize_original)
        self.space = image_space(settings.method.space, CPU, wide)
        layers = layers_of(settings)
        encoder = Encoder(
            self.weights, layers, settings.pooling, dtype=dtype, plan=plan_tiles(tile, dtype, CPU)
        )
        variable = [self.space.from_rgb(to_tensor(i, wide)) for i in (content, self.style)]
        self.content, self.style = variable
        mask = Mask(settings, shape)
        self.coverages = [mask.coverage(label, self.content) for label in mask.labels]
        self.style_coverages = [
            cover(torch.from_numpy(style_mask == label).to(wide)[None, None], *self.style.shape[2:])
            for label in mask.labels
        ]
        self.alpha = mask.alpha(self.content)
        parts = [
            StyledRegion(
                [
                    style_targets(
                        encoder,
                        self.space,
                        settings,
                        self.style,
                        make_guides(style_coverage, layers, dtype),
                    )
                ],
                make_guides(coverage, layers, dtype),
                float(coverage.mean()),
            )
            for coverage, style_coverage in zip(self.coverages, self.style_coverages, strict=True)
        ]
        self.objective = Objective(encoder, self.space, settings, self.content, parts, self.alpha)
        rng = np.random.default_rng(3)
        image = 0.5 * content + 0.5 * rng.uniform(0.1, 0.9, content.shape)
        self.image = self.space.from_rgb(to_tensor(image, wide))

    def evaluate(self):
        return self.objective(self.image)


@pytest.mark.parametrize("pooling", ["max", "avg"])
def test_loss_and_gradient_are_those_of_the_formula(pooling):
    settings = Settings(pooling=pooling, feather=3)
    problem = Problem(settings, (48, 61))
    losses, gradient = problem.evaluate()
    image = problem.image.clone().requires_grad_()
    expected = literal(
        problem.settings,
        problem.weights,
        problem.space,
        problem.content,
        problem.style,
        image,
        problem.coverages,
        problem.style_coverages,
        problem.alpha,
    )
    expected.backward()
    assert losses[-1].item() == pytest.approx(expected.item(), rel=1e-10)
    assert (gradient - image.grad).norm() < 1e-9 * image.grad.norm()
    assert gradient[..., problem.alpha[0, 0] == 0].abs().max() == 0


@pytest.mark.parametrize(
    ("preset", "dtype", "tolerance"),
    [*((preset, torch.float64, 1e-11) for preset in PRESETS), ("default", torch.float32, 1e-5)],
)
def test_tiles_change_nothing(preset, dtype, tolerance):
    settings = Settings(preset=preset, tv_weight=1.0)
    # test_tiles.py sees to it that an image of this size is cut.
    whole, tiles = (Problem(settings, (97, 61), dtype, tile).evaluate() for tile in ("off", 64))
    assert tiles.losses.tolist() == pytest.approx(whole.losses.tolist(), rel=tolerance)
    assert (tiles.gradient - whole.gradient).norm() <= tolerance * whole.gradient.norm()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_close(dtype):
    settings = Settings(tv_weight=5)
    exact, found = (Problem(settings, (64, 60), d).evaluate() for d in (torch.float32, dtype))
    assert found.losses.dtype == found.gradient.dtype == torch.float32
    assert found.losses.tolist() == pytest.approx(exact.losses.tolist(), rel=0.1)
    assert (found.gradient - exact.gradient).norm() < 0.2 * exact.gradient.norm()


@pytest.mark.parametrize("preset", PRESETS)
def test_a_mask_of_everything_is_no_mask(preset):
    content, style = pair(*SHAPE)
    overrides = {"precision": "float64", "steps": 3, "feather": 5}
    masks = (
        {"mask": np.ones(SHAPE)},
        {"mask": np.ones(SHAPE, bool)},
        {"mask": np.full(SHAPE, 7), "style_masks": np.full(SHAPE, 7)},
    )
    expected = start(content, style, preset, **overrides)
    losses = [update.losses["total"] for update in expected]
    for mask in masks:
        found = start(content, style, preset, **overrides, **mask)
        assert [update.losses["total"] for update in found] == pytest.approx(losses, rel=1e-9)
        np.testing.assert_allclose(found.result, expected.result, atol=1e-6)


def test_a_pixel_is_asked_for_the_same_however_much_is_painted():
    """One strength fits any mask: in the middle of a region, as without one."""
    rng = np.random.default_rng(0)
    content, style = rng.random((128, 128, 3)), rng.random((64, 64, 3)) ** 3
    sizes = []
    for mask in (None, np.pad(np.ones((48, 48), bool), 40)):
        transfer = start(content, style, "default", mask=mask, tv_weight=0, init="noise")
        next(transfer)
        objective, painting = transfer._run.objective, transfer._run.painting
        gradient = objective(painting.variable).gradient[..., 60:68, 60:68]
        sizes.append(gradient.norm().item())
    assert sizes[1] == pytest.approx(sizes[0], rel=0.15)


def test_a_region_too_small_for_a_layer_is_left_to_the_others():
    mask = np.zeros((47, 61), np.uint8)
    mask[46, 30] = 1  # a row that deep layers do not see
    mask[10:20, 10:20] = 2
    content, style = pair(47, 61)
    style_mask = halves(47, 61)
    result = StyleTransfer(
        content, style, mask=mask, style_masks=style_mask, steps=3, scales=(61,), **PLAIN
    ).run()
    assert np.isfinite(result).all()
    alone = StyleTransfer(
        content,
        style,
        mask=mask == 1,
        style_layers="relu5_1",
        steps=2,
        scales=(61,),
        **PLAIN,
    )
    assert alone.run().shape == (47, 61, 3)


# -------------------------------------------------------------- where it paints


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("feather", [0, 3.5])
@pytest.mark.parametrize("preset", ["default", "gatys", "series", "d2l"])
def test_outside_every_bit_is_the_contents(dtype, feather, preset):
    content, style = pair(*SHAPE)
    if np.dtype(dtype).kind == "u":
        content = np.rint(content * np.iinfo(dtype).max)
    content = content.astype(dtype)
    mask = regions()
    transfer = start(content, style, preset, mask=mask, feather=feather, scales=(30, 60), steps=4)
    expected = to_rgb(content)
    *_, last = transfer
    result = last.image
    np.testing.assert_array_equal(result[mask == 0], expected[mask == 0])
    assert (result[mask > 0] != expected[mask > 0]).any(-1).mean() > 0.9


@pytest.mark.parametrize(
    "overrides",
    [
        {"init": "noise"},
        {"init": "style", "keep_best": True},
        {"color": "luminance"},
        {"color": "match", "optimizer": "adam"},
        {"preset": "series-adam"},
        {"optimizer": "lbfgs", "learning_rate": 1},
        {"detail": 2.0, "scales": (24, 40, 60), "steps": 6},
        {"precision": "bfloat16"},
    ],
)
def test_outside_is_the_content_in_every_way_of_painting(overrides):
    content, style = pair(*SHAPE)
    mask = regions()
    settings = {"scales": (30, 60), "steps": 4, "mask": mask, **overrides}
    transfer = start(content, style, **settings)
    for update in transfer:
        assert update.image.shape == (*update.size, 3)
    expected = to_rgb(content)
    np.testing.assert_array_equal(transfer.result[mask == 0], expected[mask == 0])
    assert (transfer.result[mask > 0] != expected[mask > 0]).any(-1).mean() > 0.9


def test_outside_at_a_smaller_size_is_the_resized_content():
    content, style = pair(96, 120)
    mask = np.zeros((96, 120), bool)
    mask[20:70, 30:80] = True
    transfer = start(content, style, mask=mask, size=60, scales="auto", steps=3)
    expected = F.interpolate(
        to_tensor(to_rgb(content), torch.float32), (48, 60), mode="bilinear", antialias=True
    )
    expected = expected[0].permute(1, 2, 0).numpy()
    outside = ~mask[::2, ::2] & ~mask[1::2, 1::2]
    np.testing.assert_array_equal(transfer.run()[outside], expected[outside])


def test_two_regions_go_to_the_colours_of_their_styles():
    rng = np.random.default_rng(0)
    content, _ = pair(64, 64)
    style = rng.random((64, 64, 3)) * 0.2
    style[:, :32, 0] += 0.7  # red on the left, blue on the right
    style[:, 32:, 2] += 0.7
    mask = regions(64, 64, (5, 3))
    transfer = StyleTransfer(
        content,
        style,
        mask=mask,
        style_masks=halves(64, 64, (5, 3)),
        style_weight=200,
        steps=25,
        scales=(64,),
        feather=0,
        **PLAIN,
    )
    result = transfer.run()
    red, blue = (result[mask == label].mean(0) for label in (5, 3))
    assert red[0] > red[2] + 0.25
    assert blue[2] > blue[0] + 0.25


def test_regions_may_come_from_several_styles():
    content, style = pair(*SHAPE)
    masks = [np.ones(SHAPE, int), halves(labels=(2, 1))]
    overrides = {"mask": regions(), "style_masks": masks}
    results = [
        start(content, [style, style[::-1]], style_weights=weights, **overrides).run()
        for weights in ((1, 1), (1, 3))
    ]
    assert abs(results[0] - results[1]).max() > 1e-3


def test_floats_are_a_soft_mask():
    content, style = pair(*SHAPE)
    soft = np.linspace(-0.5, 1, 60).clip(0, 1)[None].repeat(48, 0)
    result = start(content, style, mask=soft, steps=8, feather=30).run()
    change = abs(result - to_rgb(content)).mean((0, 2))
    assert change[soft[0] == 0].max() == 0
    assert change[-10:].mean() > 2 * change[25:35].mean() > 0


# ------------------------------------------------------------------ the soft edge


@given(
    inside=st.integers(0, 2**32 - 1).map(
        lambda seed: ndimage.binary_opening(
            np.random.default_rng(seed).random((23, 31)) < 0.9, iterations=1
        )
    ),
    width=st.floats(0.5, 12),
)
@budget(max_examples=40)
def test_the_soft_edge_rises_with_the_distance_from_outside(inside, width):
    edge = soft_edge(inside, width)
    distance = ndimage.distance_transform_edt(np.pad(inside, 40, constant_values=True))
    distance = distance[40:-40, 40:-40] if not inside.all() else np.full(inside.shape, np.inf)
    ramp = np.clip((distance - 0.5) / width, 0, 1)
    np.testing.assert_allclose(edge, ramp * ramp * (3 - 2 * ramp), atol=1e-5)
    assert (edge[~inside] == 0).all()
    assert (edge[inside] > 0).all()
    assert (edge[distance >= width + 0.5] == 1).all()


def test_the_soft_edge_of_a_large_mask_is_the_same(monkeypatch):
    y, x = np.mgrid[:300, :211]
    inside = (np.hypot(y - 90, x - 100) < 70) | (y > 200)
    whole = soft_edge(inside, 9.5)
    monkeypatch.setattr(guides, "_BLOCK", 32)
    np.testing.assert_array_equal(soft_edge(inside, 9.5), whole)
    assert 0 < (whole > 0).mean() < inside.mean() + 1e-9


def test_between_two_regions_there_is_no_edge():
    mask = Mask(Settings(mask=halves(), style_masks=halves(), feather=6), SHAPE)
    like = torch.empty(1, 3, *SHAPE)
    assert (mask.alpha(like) == 1).all()
    assert torch.equal(mask.coverage(1, like) + mask.coverage(2, like), mask.alpha(like))


@pytest.mark.parametrize("shape", [(48, 60), (24, 30), (17, 21), (5, 6), (96, 120)])
def test_coverages_add_up_at_every_size(shape):
    mask = Mask(Settings(mask=regions(), style_masks=regions(), feather=4), SHAPE)
    like = torch.empty(1, 3, *shape)
    alpha = mask.alpha(like)
    assert alpha.shape == (1, 1, *shape)
    total = sum(mask.coverage(label, like) for label in mask.labels)
    torch.testing.assert_close(total, alpha)
    assert 0 < alpha.mean() < 1
    assert alpha.max() <= 1


def test_guides_lie_in_their_box():
    coverage = torch.zeros(1, 1, 64, 48, dtype=torch.float64)
    coverage[..., 16:33, 10:40] = 1
    made = make_guides(coverage, LAYERS, torch.float64)
    for layer, guide in made.items():
        pooled = F.avg_pool2d(coverage, layer.stride)
        whole = torch.zeros_like(pooled)
        whole[(..., *guide.box)] = guide.weights
        assert torch.equal(whole, pooled)
        assert guide.size == pytest.approx(pooled.square().sum().item())
    assert made[find_layer("relu1_1")].weights.shape == (1, 1, 17, 30)


# --------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"mask": regions(30, 40)}, r"mask has shape \(30, 40\) and the content \(48, 60\)"),
        (
            {"mask": regions(), "style_masks": [halves(), halves()]},
            "style_masks has 2 masks for 1 style image",
        ),
        (
            {"mask": regions(), "style_masks": halves(20, 20)},
            r"style_masks\[0\] has shape \(20, 20\) and its style image \(48, 60\)",
        ),
        (
            {"mask": regions(labels=(1, 9)), "style_masks": halves(labels=(4, 1))},
            "The mask has label 9, and the style masks have only 1, 4: draw it there",
        ),
    ],
)
def test_masks_that_do_not_fit_are_refused_in_words(overrides, words):
    content, style = pair(*SHAPE)
    with pytest.raises(ValueError, match=words) as caught:
        start(content, style, **overrides)
    assert "\n" not in str(caught.value)
    running = start(content, style)
    next(running)
    with pytest.raises(ValueError, match=words):
        running.update(**overrides)
    next(running)
    assert running.settings.mask is None


def test_a_label_only_in_a_style_of_no_weight_is_lacking():
    settings = Settings(
        mask=regions(), style_masks=[halves(labels=(1, 1)), halves()], style_weights=(1, 0)
    )
    with pytest.raises(ValueError, match="label 2, and the style masks have only 1"):
        check_masks(settings, SHAPE, [SHAPE, SHAPE])


def test_labels_may_be_any_whole_numbers():
    content, style = pair(*SHAPE)
    for dtype, label in [(np.uint64, 2**63 + 5), (np.int16, 300), (bool, 1)]:
        mask, style_mask = (np.where(halves() == 1, label, 0).astype(dtype) for _ in range(2))
        transfer = start(content, style, mask=mask, style_masks=style_mask, steps=1)
        assert transfer.run().shape == (*SHAPE, 3)
