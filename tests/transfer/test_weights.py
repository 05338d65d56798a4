import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tests.transfer.serving import serve
from torch.nn import functional as F

from napari_neural_style.layers import convolutions
from napari_neural_style.transfer import fetch as fetching
from napari_neural_style.transfer import weights as module
from napari_neural_style.transfer.fetch import Cancelled
from napari_neural_style.transfer.weight_files import FOLDER_VARIABLE
from napari_neural_style.transfer.weights import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    VGG_MEAN,
    WeightsError,
    download_torchvision,
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


def test_a_refusal_is_all_that_is_said(tmp_path):
    """Torch would warn, and advise to open a program without `weights_only`."""
    file = tmp_path / "bad.pth"
    file.write_bytes(pickle.dumps(print, protocol=4))
    with pytest.raises(WeightsError, match="could run code"):
        load_weights(file)
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("data.pkl", "constants.pkl", "version"):
            archive.writestr(f"bad/{name}", b"\x80\x02}.")
    with pytest.raises(WeightsError, match=r"it is a program \(TorchScript\), not weights alone"):
        load_weights(file)


def test_a_small_file_does_not_unfold_into_all_memory(tmp_path):
    """What torch wrote, compressed by another program, with a long list in place of names."""
    torch.save({}, tmp_path / "small.pth")
    many = b"\x80\x02](" + 10**6 * b"K\x01" + b"e."
    longer = b"\x80\x02](" + 5 * 10**6 * b"K\x01" + b"e."
    for name, method, contents, words in (
        ("compressed.pth", zipfile.ZIP_DEFLATED, many, "it is compressed"),
        ("stored.pth", zipfile.ZIP_STORED, longer, "contents has 10000006 bytes"),
    ):
        with (
            zipfile.ZipFile(tmp_path / "small.pth") as old,
            zipfile.ZipFile(tmp_path / name, "w", method) as new,
        ):
            for part in old.namelist():
                new.writestr(part, contents if part.endswith("data.pkl") else old.read(part))
        with pytest.raises(WeightsError, match=words):
            load_weights(tmp_path / name)


def test_a_list_of_millions_of_tensors_is_refused(tmp_path):
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    header = json.dumps({str(number): empty for number in range(80_000)}).encode()
    file = tmp_path / "many.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(WeightsError, match=f"its header has {len(header)} bytes"):
        load_weights(file)


@pytest.mark.parametrize(
    "odd",
    [
        torch.zeros(64, device="meta"),
        torch.zeros(64).to_sparse(),
        torch.zeros(64, dtype=torch.int32),
        torch.zeros(64, dtype=torch.complex64),
    ],
)
def test_odd_tensors_are_refused(tmp_path, original, odd):
    torch.save(
        {"features.0.weight": torch.zeros(64, 3, 3, 3), "features.0.bias": odd}, tmp_path / "a"
    )
    with pytest.raises(WeightsError, match=r"'features\.0\.bias' .* is no plain tensor of floats"):
        load_weights(tmp_path / "a")


# --------------------------------------------------------------------- download

CLASSIFIER = {"classifier.0.weight": torch.zeros(1000, 100)}
"""What torchvision's file also holds, and nobody here needs."""


@pytest.fixture(scope="module")
def whole_file(tmp_path_factory, original):
    """A file such as torchvision's, in the format that torch had then."""
    file = tmp_path_factory.mktemp("whole") / "whole.pth"
    torch.save({**original, **CLASSIFIER}, file, _use_new_zipfile_serialization=False)
    return file.read_bytes()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the weights live: nothing is there."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "weights"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    module._load.cache_clear()
    yield tmp_path / "weights"
    module._load.cache_clear()


@pytest.fixture
def server(folder, whole_file, monkeypatch):
    """A server of the file, taken for torchvision's; its `Serving`."""
    monkeypatch.setattr(module, "TORCHVISION_SHA256", hashlib.sha256(whole_file).hexdigest())
    with serve(whole_file) as (serving, address):
        monkeypatch.setattr(module, "TORCHVISION_URL", f"{address}/vgg19.pth")
        yield serving


def test_torchvisions_convolutions_are_downloaded_once_and_kept(
    folder, server, whole_file, original, capfd
):
    for _ in range(2):
        assert fingerprint(load_weights("torchvision")) == fingerprint(original)
        module._load.cache_clear()
    assert len(server.ranges) == 1
    (kept,) = folder.iterdir()
    assert kept == module.torchvision_file()
    assert set(load_file(kept)) == set(original)
    assert kept.stat().st_size < len(whole_file)
    assert "VGG19 weights: 100%" in capfd.readouterr().err


def test_a_download_reports_its_progress_instead_of_drawing_it(folder, server, whole_file, capfd):
    seen = []
    assert download_torchvision(lambda *bytes_: seen.append(bytes_)).is_file()
    assert seen[-1] == (len(whole_file), len(whole_file))
    assert capfd.readouterr().err == ""


def test_a_file_put_there_by_hand_is_used(folder, whole_file, original):
    folder.mkdir()
    (folder / "vgg19-dcbb9e9d.pth").write_bytes(whole_file)
    assert fingerprint(load_weights("torchvision")) == fingerprint(original)


def test_two_downloads_at_once_are_one(folder, server):
    with ThreadPoolExecutor(2) as pool:
        files = set(pool.map(lambda _: download_torchvision(lambda *_: None), range(2)))
    assert len(server.ranges) == 1
    assert files == set(folder.iterdir())


DOWNLOAD = """
import sys
from napari_neural_style.transfer import weights
weights.TORCHVISION_URL, weights.TORCHVISION_SHA256 = sys.argv[1:]
print(weights.download_torchvision(lambda *_: None))
"""


def another_process(path):
    url = module.TORCHVISION_URL.replace("vgg19.pth", path)
    command = [sys.executable, "-c", DOWNLOAD, url, module.TORCHVISION_SHA256]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_processes_do_not_disturb_each_other(folder, server, original):
    processes = [another_process("both") for _ in range(2)]
    files = {process.communicate()[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    assert len(server.ranges) == 2
    assert files == set(map(str, folder.iterdir()))
    assert fingerprint(load_weights("torchvision")) == fingerprint(original)


def test_what_a_killed_process_leaves_is_cleared_away(folder, server):
    with another_process("hang") as process:
        server.silent.wait()
        process.kill()
    assert [file.name for file in folder.iterdir()] != []
    file = download_torchvision(lambda *_: None)
    assert list(folder.iterdir()) == [file]


def test_a_cancelled_download_leaves_nothing(folder, server):
    begun = threading.Event()
    with pytest.raises(Cancelled):
        download_torchvision(lambda *_: begun.set(), begun.is_set)
    assert list(folder.iterdir()) == []


def test_waiting_for_another_download_can_be_cancelled(folder, server):
    with module._downloading, pytest.raises(Cancelled):
        download_torchvision(cancelled=lambda: True)
    assert server.ranges == []


@pytest.mark.parametrize(
    ("path", "expected"),
    [("missing", "404"), ("cut", "the connection ended"), ("hang", "cannot be taken up again")],
)
def test_a_failed_download_leaves_nothing_and_says_the_ways_on(
    folder, server, monkeypatch, path, expected
):
    url = module.TORCHVISION_URL.replace("vgg19.pth", path)
    monkeypatch.setattr(module, "TORCHVISION_URL", url)
    monkeypatch.setattr(fetching, "_PATIENCE", 0.2)
    monkeypatch.setattr(fetching, "_PAUSE", 0.0)
    with pytest.raises(WeightsError, match=expected) as error:
        download_torchvision(lambda *_: None)
    message = str(error.value)
    assert url in message
    assert str(folder / "vgg19-dcbb9e9d.pth") in message
    assert "path of a weights file" in message
    assert "weights='original'" in message
    assert list(folder.iterdir()) == []


def test_another_file_is_refused(folder, server, monkeypatch):
    monkeypatch.setattr(module, "TORCHVISION_SHA256", "0" * 64)
    with pytest.raises(WeightsError, match=r"SHA-256 starts with .*, not 00000000.*try again"):
        download_torchvision(lambda *_: None)
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told_with_the_way_out(tmp_path, server, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "file" / "weights"))
    with pytest.raises(WeightsError, match=rf"cannot be kept in .*weights.*{FOLDER_VARIABLE}"):
        download_torchvision(lambda *_: None)
    assert server.ranges == []


def test_a_folder_that_is_deleted_meanwhile_is_told(folder, server):
    def delete(done, total):
        if done == total:
            shutil.rmtree(folder)

    with pytest.raises(WeightsError, match=r"cannot be kept in .*deleted meanwhile"):
        download_torchvision(delete)
    assert not folder.exists()
    assert download_torchvision(lambda *_: None).is_file()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_a_disk_that_is_full_at_the_end_is_told_with_the_way_out(folder, server):
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(done, total):
        if done == total:
            resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, before[1]))

    try:
        with pytest.raises(WeightsError, match=rf"cannot be kept in .*{FOLDER_VARIABLE}") as error:
            download_torchvision(fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "large" in str(error.value)
    assert list(folder.iterdir()) == []
    assert download_torchvision(lambda *_: None).is_file()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows' folders are never read-only")
def test_a_read_only_folder_is_told_with_the_way_out(server, monkeypatch):
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)  # pytest's own folders are for one user alone
        folder = Path(place) / "weights"
        folder.mkdir(mode=0o555)
        monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
        user = os.geteuid()
        if user == 0:  # nothing is read-only for root
            os.seteuid(65534)
        try:
            with pytest.raises(WeightsError, match=r"cannot be kept in .*Permission denied"):
                download_torchvision(lambda *_: None)
        finally:
            os.seteuid(user)
        assert list(folder.iterdir()) == []
    assert server.ranges == []


def test_weights_that_were_damaged_since_are_told_with_the_way_out(folder, server):
    file = download_torchvision(lambda *_: None)
    os.truncate(file, 10**6)
    with pytest.raises(WeightsError, match=r"delete it, and it is downloaded again"):
        load_weights("torchvision")
    file.unlink()
    assert load_weights("torchvision")
