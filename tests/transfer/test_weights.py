import http.server
import os
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch.nn import functional as F

from napari_neural_style.layers import convolutions
from napari_neural_style.transfer import weights as module
from napari_neural_style.transfer.weights import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    VGG_MEAN,
    WeightsError,
    download,
    fingerprint,
    load_weights,
)


@pytest.fixture(scope="module")
def original():
    return load_weights("original")


def test_original_has_every_convolution_in_torchvisions_names(original):
    expected = [
        f"features.{layer.index}.{part}" for layer in convolutions() for part in ("weight", "bias")
    ]
    assert list(original) == expected
    assert {tensor.dtype for tensor in original.values()} == {torch.float32}
    assert original["features.34.weight"].shape == (512, 512, 3, 3)


def test_original_takes_normalised_rgb_as_the_caffe_model_takes_bgr(original):
    state = torch.load(module.original_file(), weights_only=True)
    table, codes = (state[f"block1_conv1_W_{part}"] for part in ("table", "q"))
    caffe = table[codes.int()].double()
    rgb = torch.rand(1, 3, 8, 8, dtype=torch.float64)
    bgr = (255 * rgb - torch.tensor(VGG_MEAN).view(1, 3, 1, 1)).flip(1)
    expected = F.conv2d(bgr, caffe, state["block1_conv1_b"].double())
    mean, std = (torch.tensor(v).double().view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    found = F.conv2d(
        (rgb - mean) / std,
        original["features.0.weight"].double(),
        original["features.0.bias"].double(),
    )
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-3)


def test_original_activations_are_in_the_hundreds(original):
    x = module._probe_image()
    activation = F.relu(F.conv2d(x, original["features.0.weight"], original["features.0.bias"]))
    assert activation.mean() > 10


def test_normalized_network_is_the_same_but_for_the_scale(original):
    normalized = load_weights("original", normalize=True)
    rng = torch.Generator().manual_seed(3)
    given_, rescaled = (torch.randn(1, 3, 32, 32, generator=rng),) * 2
    for layer in convolutions()[:6]:
        if layer.number == 1 and layer.block > 1:
            given_, rescaled = F.max_pool2d(given_, 2), F.max_pool2d(rescaled, 2)
        key = f"features.{layer.index}"
        given_, rescaled = (
            F.relu(F.conv2d(x, w[f"{key}.weight"], w[f"{key}.bias"], padding=1))
            for x, w in ((given_, original), (rescaled, normalized))
        )
        ratio = (given_.sum() / rescaled.sum()).item()
        torch.testing.assert_close(rescaled * ratio, given_, rtol=1e-3, atol=1e-3 * ratio)


def test_normalized_activations_have_a_mean_of_one():
    normalized = load_weights("original", normalize=True)
    x = module._probe_image()
    for layer in convolutions():
        if layer.number == 1 and layer.block > 1:
            x = F.max_pool2d(x, 2)
        key = f"features.{layer.index}"
        x = F.relu(F.conv2d(x, normalized[f"{key}.weight"], normalized[f"{key}.bias"], padding=1))
        assert x.mean().item() == pytest.approx(1, rel=1e-3)


def test_the_means_that_are_known_are_those_of_the_weights(original):
    known = torch.tensor(module._ORIGINAL_MEANS)
    torch.testing.assert_close(module._mean_activations(original), known, rtol=1e-5, atol=0)


def test_to_normalize_the_codebooks_is_to_normalize_the_weights(original):
    expected = module._rescaled(original, torch.tensor(module._ORIGINAL_MEANS))
    assert fingerprint(load_weights("original", normalize=True)) == fingerprint(expected)


def test_a_file_is_normalized_by_what_it_holds(tmp_path, original):
    """The same network at another scale, three times as large with every layer."""
    scaled = {}
    for depth, layer in enumerate(convolutions(), start=1):
        key = f"features.{layer.index}"
        scaled[f"{key}.weight"] = 3 * original[f"{key}.weight"]
        scaled[f"{key}.bias"] = 3**depth * original[f"{key}.bias"]
    save_file(scaled, tmp_path / "scaled.safetensors")
    found = load_weights(tmp_path / "scaled.safetensors", normalize=True)
    for key, expected in load_weights("original", normalize=True).items():
        assert (found[key] - expected).norm() <= 1e-5 * expected.norm(), key


def test_callers_may_change_what_they_get():
    load_weights("original").clear()
    assert load_weights("original")


def test_the_file_layouts_agree(tmp_path, original):
    torch.save({**original, "classifier.0.bias": torch.ones(3)}, tmp_path / "tv.pth")
    save_file(dict(original), tmp_path / "tv.safetensors")
    for name in ("tv.pth", "tv.safetensors"):
        assert fingerprint(load_weights(tmp_path / name)) == fingerprint(original)


def test_gatys_layout_is_of_the_caffe_model(tmp_path, original):
    state = torch.load(module.original_file(), weights_only=True)
    gatys = {}
    for layer in convolutions():
        keras = f"block{layer.block}_conv{layer.number}"
        gatys[f"{layer.name}.weight"] = state[f"{keras}_W_table"][state[f"{keras}_W_q"].int()]
        gatys[f"{layer.name}.bias"] = state[f"{keras}_b"]
    torch.save(gatys, tmp_path / "vgg_conv.pth")
    assert fingerprint(load_weights(tmp_path / "vgg_conv.pth")) == fingerprint(original)


def test_a_changed_file_is_read_again(tmp_path, original):
    file = tmp_path / "w.safetensors"
    save_file(dict(original), file)
    load_weights(file)
    doubled = {key: 2 * tensor for key, tensor in original.items()}
    save_file(doubled, file)
    os.utime(file, (1, 1))
    assert fingerprint(load_weights(file)) == fingerprint(doubled)


class Trap:
    """A pickle that would make a file if it were loaded."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def plain_pickle(obj, path):
    path.write_bytes(pickle.dumps(obj))


@pytest.mark.parametrize("writer", [torch.save, plain_pickle])
def test_code_in_a_pickle_is_never_executed(tmp_path, writer):
    file, target = tmp_path / "evil.pth", tmp_path / "owned"
    writer({"features.0.weight": Trap(target)}, file)
    with pytest.raises(WeightsError, match=r"evil\.pth"):
        load_weights(file)
    assert not target.exists()


def test_a_missing_file_says_what_to_give():
    with pytest.raises(WeightsError, match=r"nowhere\.pth.*'original', 'torchvision' or the path"):
        load_weights("nowhere.pth")


@given(data=st.binary(max_size=300))
def test_any_other_file_is_refused_in_a_sentence(data, tmp_path_factory):
    for suffix in (".pth", ".safetensors"):
        file = tmp_path_factory.mktemp("bad") / f"bad{suffix}"
        file.write_bytes(data)
        with pytest.raises(WeightsError) as error:
            load_weights(file)
        assert str(file) in str(error.value)
        assert "\n" not in str(error.value)


def test_weights_of_another_network_are_refused(tmp_path, original):
    save_file({"layer1.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="not those of VGG19"):
        load_weights(tmp_path / "other.safetensors")
    narrow = {**original, "features.5.bias": torch.zeros(7)}
    torch.save(narrow, tmp_path / "narrow.pth")
    with pytest.raises(WeightsError, match=r"shape \(7,\), VGG19's has \(128,\)"):
        load_weights(tmp_path / "narrow.pth")
    for number in (np.nan, np.inf, -np.inf):
        bias = original["features.0.bias"].clone()
        bias[3] = number
        torch.save({**original, "features.0.bias": bias}, tmp_path / f"{number}.pth")
        with pytest.raises(WeightsError, match="not finite"):
            load_weights(tmp_path / f"{number}.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(WeightsError, match="holds a list"):
        load_weights(tmp_path / "list.pth")


# --------------------------------------------------------------------- download


@pytest.fixture
def server(tmp_path):
    """A local HTTP server of a folder, and its address."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=folder)

        def end_headers(self):
            if "cut" in self.path:  # promise more than is sent
                self.send_header("X-Cut", "1")
            super().end_headers()

        def send_header(self, keyword, value):
            if keyword == "Content-Length" and "cut" in self.path:
                value = str(int(value) + 1000)
            super().send_header(keyword, value)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()


def test_torchvisions_file_is_downloaded_once_and_kept(server, tmp_path, original, monkeypatch):
    import hashlib

    folder, address = server
    torch.save(dict(original), folder / "vgg19-small.pth")
    digest = hashlib.sha256((folder / "vgg19-small.pth").read_bytes()).hexdigest()
    monkeypatch.setattr(module, "TORCHVISION_URL", f"{address}/vgg19-small.pth")
    monkeypatch.setattr(module, "TORCHVISION_HASH", digest[:8])
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    module._load.cache_clear()
    assert fingerprint(load_weights("torchvision")) == fingerprint(original)
    assert [p.name for p in module.torchvision_file().parent.iterdir()] == ["vgg19-small.pth"]
    (folder / "vgg19-small.pth").unlink()
    module._load.cache_clear()
    assert fingerprint(load_weights("torchvision")) == fingerprint(original)  # from the cache
    module._load.cache_clear()


def test_download_reports_progress(server, tmp_path):
    folder, address = server
    (folder / "file").write_bytes(b"x" * 3_000_000)
    seen = []
    import hashlib

    digest = hashlib.sha256(b"x" * 3_000_000).hexdigest()
    download(f"{address}/file", tmp_path / "got", digest[:8], lambda *args: seen.append(args))
    assert seen[-1] == (3_000_000, 3_000_000)
    assert len(seen) >= 3


@pytest.mark.parametrize(
    ("name", "expected"),
    [("missing", "404"), ("cut", "the connection ended"), ("wrong", "SHA-256 starts with")],
)
def test_a_failed_download_leaves_nothing_and_says_the_ways_on(server, tmp_path, name, expected):
    folder, address = server
    (folder / "cut").write_bytes(b"x" * 5000)
    (folder / "wrong").write_bytes(b"x" * 5000)
    target = tmp_path / "cache" / "vgg19.pth"
    with pytest.raises(WeightsError, match=expected) as error:
        download(f"{address}/{name}", target, "00000000")
    assert f"{address}/{name}" in str(error.value)
    assert "'original'" in str(error.value)
    assert list(target.parent.iterdir()) == []


def test_without_a_network_the_message_names_address_file_and_ways_on(tmp_path):
    url, target = "http://127.0.0.1:9/vgg19.pth", tmp_path / "vgg19.pth"
    with pytest.raises(WeightsError) as error:
        download(url, target, "00000000")
    message = str(error.value)
    assert url in message
    assert str(target) in message
    assert "path of a weights file" in message
    assert "weights='original'" in message
