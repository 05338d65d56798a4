"""What the engine does on a GPU, seen on one that is none."""

import gc

import numpy as np
import pytest
import torch

from napari_neural_style import StyleTransfer
from napari_neural_style.transfer import devices

from .pretend_gpu import GPU, PretendGpu

REGIONS = (np.indices((40, 56)).sum(0) // 48).astype(np.uint8) + 1
STYLE_REGIONS = (np.indices((40, 40)).sum(0) // 40).astype(np.uint8) + 1


@pytest.fixture
def images():
    coarse = np.random.default_rng(0).random((2, 5, 7, 3))
    content, style = np.kron(coarse, np.ones((1, 8, 8, 1)))
    return content, style[:, :40]


@pytest.fixture
def gpu(monkeypatch):
    devices._fastest_precision.cache_clear()
    with PretendGpu(monkeypatch) as gpu:
        yield gpu
    devices._fastest_precision.cache_clear()


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"optimizer": "adam", "keep_best": True, "init": "noise"},
        {"preset": "gatys"},
        {"preset": "tutorial-2017", "optimizer": "adam"},
        {"color": "luminance", "tile": 64, "size": 90},
        {"color": "match", "mask": REGIONS, "feather": 3.0},
        {"mask": REGIONS, "style_masks": STYLE_REGIONS},
    ],
)
def test_a_run_on_a_gpu_is_that_on_the_cpu(gpu, images, settings):
    def paint(device):
        transfer = StyleTransfer(*images, device=device, **given)
        assert transfer.device == device
        return transfer.run()

    given = {"size": 56, "steps": 3, "precision": "float64", **settings}
    np.testing.assert_allclose(paint("cuda:0"), paint("cpu"), atol=1e-6)


@pytest.mark.parametrize("settings", [{}, {"optimizer": "adam"}, {"mask": REGIONS}])
def test_steps_never_wait_for_the_gpu(gpu, images, settings):
    transfer = StyleTransfer(*images, device="cuda", size=56, steps=9, **settings)
    assert (transfer.device, transfer.precision) == (str(GPU), "bfloat16")
    updates = [next(transfer), next(transfer)]
    before = gpu.waits
    updates += [next(transfer) for _ in range(5)]
    assert gpu.waits == before
    assert updates[-1].losses["total"] < updates[0].losses["total"]
    assert gpu.waits > before


def test_a_run_on_a_gpu_can_be_changed_saved_and_gone_on_with(gpu, images, tmp_path):
    content, style = images
    settings = {"device": "cuda", "size": 48, "steps": 8, "precision": "float32"}
    transfer = StyleTransfer(content, style, **settings)
    changes = [
        {"style": style[::-1]},
        {"style_weight": 3.0, "tv_weight": 1.0},
        {"mask": REGIONS},
        {"color": "luminance"},
        {"size": 56},
    ]
    for change in changes:
        next(transfer)
        transfer.update(**change)
    next(transfer)
    transfer.save(tmp_path / "run")
    again = StyleTransfer.load(tmp_path / "run")
    assert again.device == transfer.device == "cuda:0"
    np.testing.assert_array_equal(again.run(), transfer.run())


def test_memory_that_runs_out_has_the_run_go_on_with_less(gpu, images):
    transfer = StyleTransfer(*images, device="cuda", size=56, steps=9)
    updates = [next(transfer), next(transfer)]
    picture = transfer.result
    gpu.lasts = 100
    updates += list(transfer)
    notes = [update.note for update in updates if update.note]
    assert transfer.device == "cpu"
    assert "cpu" in notes[-1]
    assert [update.step for update in updates] == list(range(1, 10))
    assert updates[-1].losses["total"] < updates[1].losses["total"]
    assert np.abs(transfer.result - picture).mean() < 0.2
    assert torch.isfinite(torch.from_numpy(transfer.result)).all()


def test_no_memory_of_the_gpu_remains(gpu, images):
    def run(**settings):
        return StyleTransfer(*images, device="cuda", size=56, steps=6, **settings)

    def end(transfer):
        transfer.run()

    def change(transfer):
        next(transfer)
        transfer.update(style_weight=3.0, mask=REGIONS, size=48)
        end(transfer)

    def break_off(transfer):
        next(transfer)
        transfer.stop()
        list(transfer)

    def leave(transfer):
        next(transfer)

    def run_out(transfer):
        next(transfer)
        gpu.lasts = 100
        end(transfer)
        gpu.lasts = None

    gc.collect()
    before = gpu.tensors()  # of other tests, if any
    for use in (end, change, break_off, leave, run_out):
        transfer = run()
        use(transfer)
        assert gpu.tensors() > before
        del transfer
        gc.collect()
        assert gpu.tensors() == before, use.__name__
    ended = run(optimizer="adam", color="luminance")
    end(ended)
    gc.collect()
    assert gpu.tensors() < before + 40  # what a change may want
