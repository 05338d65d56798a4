import json
import pickle
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_neural_style.images import METADATA_KEY, Calibration, write_image
from napari_neural_style.images.stack_files import (
    check_stack_output,
    keep_calibration,
    open_stack,
    write_ome_tiff,
)

MICRONS = ("micrometer", "micrometer")


def numbers(*shape, dtype=np.uint16):
    return np.random.default_rng(len(shape)).integers(0, 250, shape).astype(dtype)


def assert_holds(stack, expected):
    for data in (stack.data, pickle.loads(pickle.dumps(stack.data))):
        assert data.shape == expected.shape
        assert data.ndim == expected.ndim
        assert data.dtype == expected.dtype
        assert np.array_equal(data[1], expected[1])
        assert np.array_equal(data[:, ..., 2:7], expected[:, ..., 2:7])
        last = tuple(length - 1 for length in expected.shape[:-2])
        assert np.array_equal(data[last], expected[last])


@pytest.mark.parametrize(
    "options",
    [
        {"ome": True},
        {"ome": True, "compression": "zlib", "tile": (16, 16)},
        {"bigtiff": True, "ome": True},
        {"imagej": True},
    ],
)
def test_tiff_with_axes(tmp_path, options):
    image = numbers(3, 2, 24, 20)
    metadata = {"axes": "TZYX"}
    if "imagej" in options:
        metadata |= {"unit": "um", "finterval": 5.0, "spacing": 2.0}
        options = {**options, "resolution": (4, 2)}
    else:
        metadata |= {"PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 2}
        metadata |= {"TimeIncrement": 5}
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, image, photometric="minisblack", metadata=metadata, **options)
    stack = open_stack(path)
    assert stack.named
    assert stack.calibration == Calibration(
        "TZYX", (5, 2, 0.5, 0.25), ("second", "micrometer", *MICRONS)
    )
    assert_holds(stack, image)


@pytest.mark.parametrize(
    ("shape", "axes"), [((4, 24, 20), "TYX"), ((3, 2, 24, 20), "TZYX"), ((4, 24, 20, 3), "TYXS")]
)
def test_tiff_without_axes(tmp_path, shape, axes):
    image = numbers(*shape, dtype=np.uint8)
    photometric = "rgb" if axes[-1] == "S" else "minisblack"
    tifffile.imwrite(tmp_path / "a.tif", image, photometric=photometric)
    stack = open_stack(tmp_path / "a.tif")
    assert not stack.named
    assert stack.calibration == Calibration.unknown(axes)
    assert_holds(stack, image)
    with tifffile.TiffWriter(tmp_path / "pages.tif") as writer:
        for plane in image.reshape(-1, *image.shape[2 if axes == "TZYX" else 1 :]):
            writer.write(plane, photometric=photometric, metadata=None)
    assert open_stack(tmp_path / "pages.tif").calibration.axes == axes.replace("TZ", "T")


def test_ome_zarr_of_several_levels(tmp_path):
    image = numbers(3, 2, 24, 20)
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    group.create_array("fine", data=image, chunks=(1, 1, 24, 20))
    group.create_array("coarse", data=image[..., ::2, ::2])
    omero = {"channels": [{"label": "DAPI", "color": "0000FF"}]}
    axes = [{"name": "t", "type": "time", "unit": "second"}]
    axes += [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    datasets = [
        {
            "path": path,
            "coordinateTransformations": [
                {"type": "scale", "scale": [1, 2, 0.5 * step, 0.25 * step]},
                {"type": "translation", "translation": [0, 0, 0, 0]},
            ],
        }
        for path, step in (("fine", 1), ("coarse", 2))
    ]
    common = [{"type": "scale", "scale": [5, 1, 1, 1]}]
    image_data = {"axes": axes, "datasets": datasets, "coordinateTransformations": common}
    units = ("second", "micrometer", *MICRONS)
    expected = Calibration("TZYX", (5, 2, 0.5, 0.25), units, ("DAPI",))
    described = {"multiscales": [image_data], "omero": omero}
    for attributes in ({"ome": described}, described):
        group.attrs.put(attributes)
        stack = open_stack(tmp_path / "a.zarr")
        assert stack.named
        assert stack.calibration == expected
        assert_holds(stack, image)


def test_zarr_arrays(tmp_path):
    image = numbers(3, 2, 24, 20, dtype=np.float32)
    zarr.create_array(tmp_path / "a.zarr", data=image, dimension_names=("time", "z", "y", "x"))
    stack = open_stack(tmp_path / "a.zarr")
    assert (stack.calibration, stack.named) == (Calibration.unknown("TZYX"), True)
    assert_holds(stack, image)
    old = zarr.create_array(tmp_path / "old.zarr", data=image, zarr_format=2)
    assert open_stack(tmp_path / "old.zarr").calibration.axes == "TZYX"
    assert not open_stack(tmp_path / "old.zarr").named
    old.attrs["_ARRAY_DIMENSIONS"] = ["z", "c", "y", "x"]
    assert open_stack(tmp_path / "old.zarr").calibration.axes == "ZCYX"


@pytest.mark.parametrize("channels", [(), (3,)])
def test_image_files_in_the_order_of_their_numbers(tmp_path, channels):
    image = numbers(12, 24, 20, *channels, dtype=np.uint8)
    for number, plane in enumerate(image):
        Image.fromarray(plane).save(tmp_path / f"cell{number}.png")
    (tmp_path / "notes.txt").touch()
    (tmp_path / ".hidden.png").touch()
    axes = "TYXS" if channels else "TYX"
    for path in (tmp_path, tmp_path / "cell*.png"):
        stack = open_stack(path)
        assert (stack.calibration, stack.named) == (Calibration.unknown(axes), False)
        assert_holds(stack, image)
        assert np.array_equal(stack.data[2:4], image[2:4])
    Image.fromarray(image[0, :20]).save(tmp_path / "cell3.png")
    with pytest.raises(ValueError, match=r"cell3\.png has the shape \(20, 20"):
        stack.data[3]
    assert np.array_equal(stack.data[4], image[4])


def test_image_files_keep_the_size_of_their_pixels(tmp_path):
    calibration = Calibration("YX", (0.5, 0.25), MICRONS)
    for number in range(2):
        write_image(tmp_path / f"{number}.tif", numbers(24, 20), calibration=calibration)
    sizes = open_stack(tmp_path).calibration
    assert sizes == Calibration("TYX", (1, 0.5, 0.25), ("pixel", *MICRONS))


def test_only_the_damaged_plane_fails(tmp_path):
    image = numbers(4, 24, 20)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="minisblack", compression="zlib")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        offset = file.pages[2].dataoffsets[0]
    with (tmp_path / "a.tif").open("r+b") as file:
        file.seek(offset)
        file.write(b"\xff" * 20)
    data = open_stack(tmp_path / "a.tif").data
    assert np.array_equal(data[1], image[1])
    with pytest.raises(Exception, match="BAD_DATA"):
        data[2]
    assert np.array_equal(data[3], image[3])


def test_what_is_no_stack(tmp_path):
    def refuse(name, words, kind=ValueError):
        with pytest.raises(kind, match=words) as raised:
            open_stack(tmp_path / name)
        assert name in str(raised.value)

    refuse("gone.tif", "no such file", FileNotFoundError)
    refuse("gone*.tif", "no image files", FileNotFoundError)
    (tmp_path / "empty").mkdir()
    refuse("empty", "no image files", FileNotFoundError)
    (tmp_path / "notes.txt").write_text("not a stack")
    refuse("notes.txt", "a Zarr folder, a folder of image files")
    tifffile.imwrite(tmp_path / "plane.tif", numbers(24, 20))
    refuse("plane.tif", "one plane and no stack; stylize paints it")
    (tmp_path / "damaged.tif").write_bytes((tmp_path / "plane.tif").read_bytes()[:60])
    refuse("damaged.tif", "damaged")
    planar = {"photometric": "rgb", "planarconfig": "separate"}
    tifffile.imwrite(tmp_path / "planar.tif", numbers(4, 3, 24, 20), **planar)
    refuse("planar.tif", "interleaved RGB")
    zarr.open_group(tmp_path / "group.zarr", mode="w").create_array("raw", data=numbers(3, 9, 9))
    refuse("group.zarr", r"no OME-Zarr image.*\(raw\)")
    zarr.create_array(tmp_path / "flat.zarr", data=numbers(9, 9))
    refuse("flat.zarr", "one plane")
    zarr.create_array(tmp_path / "line.zarr", data=numbers(9))
    refuse("line.zarr", "shape")
    zarr.create_array(
        tmp_path / "turned.zarr", data=numbers(3, 9, 9), dimension_names=("y", "x", "t")
    )
    refuse("turned.zarr", "YXT")
    (tmp_path / "broken.zarr").mkdir()
    (tmp_path / "broken.zarr" / "zarr.json").write_text("{")
    refuse("broken.zarr", "damaged")


@pytest.mark.parametrize(
    ("channels", "dtype"), [((), "u2"), ((), "f4"), ((3,), "u1"), ((4,), "u2")]
)
def test_ome_tiff_keeps_axes_sizes_and_recipe(tmp_path, channels, dtype):
    image = numbers(3, 2, 24, 20, *channels, dtype=dtype)
    calibration = Calibration(
        "TZYX" + "S" * len(channels),
        (5, 2, 0.5, 0.25, *(1,) * len(channels)),
        ("second", "nanometer", *MICRONS, *("pixel",) * len(channels)),
    )
    path = tmp_path / "a.tif"
    write_ome_tiff(path, image, calibration, {"note": "naïve & <µm>"})
    assert list(tmp_path.iterdir()) == [path]
    stack = open_stack(path)
    assert stack.calibration == calibration
    assert_holds(stack, image)
    with tifffile.TiffFile(path) as file:
        assert len(file.pages) == 6
        root = ElementTree.fromstring(file.ome_metadata)
    description = next(part.text for part in root.iter() if part.tag.endswith("Description"))
    assert json.loads(description) == {METADATA_KEY: {"note": "naïve & <µm>"}}


@pytest.mark.parametrize(
    ("axes", "shape"), [("TCYX", (3, 2)), ("TCYXS", (3, 2)), ("TYX", (3,)), ("TYXS", (3,))]
)
def test_ome_tiff_and_zarr_keep_names_and_colours_of_channels(tmp_path, axes, shape):
    image = numbers(*shape, 24, 20, *(3,) * axes.count("S"), dtype=np.uint8)
    names = ("DAPI", 'GFP & "<µ>"')[: shape[1] if "C" in axes else 1]
    colors = ("#0000ff", "#ff8000") if axes == "TCYX" else ()
    calibration = Calibration.of(axes, {}, names, colors)
    write_ome_tiff(tmp_path / "a.tif", image, calibration)
    stack = open_stack(tmp_path / "a.tif")
    assert stack.calibration == calibration
    assert_holds(stack, image)
    keep_calibration(zarr.create_array(tmp_path / "a.zarr", data=image), calibration)
    assert open_stack(tmp_path / "a.zarr").calibration == calibration


def test_names_of_the_channels_that_are_written(tmp_path):
    image = numbers(3, 2, 24, 20)
    calibration = Calibration.of("CZYX", {}, ("a", "b", "c"))
    write_ome_tiff(tmp_path / "a.tif", image, calibration, planes=slice(1, 3))
    assert open_stack(tmp_path / "a.tif").calibration.channels == ("b", "c")
    write_ome_tiff(tmp_path / "a.tif", image, Calibration.of("CZYX", {}, ("a", "b")))
    assert open_stack(tmp_path / "a.tif").calibration.channels == ()


def test_outputs_are_checked_before_the_work(tmp_path):
    check_stack_output(tmp_path / "a.zarr", "QYX", np.dtype("int64"))
    check_stack_output(tmp_path / "a.tif", "TCZYXS", np.dtype("uint8"))
    assert list(tmp_path.iterdir()) == []
    for name, axes, dtype, words in (
        ("a.png", "TYX", "uint8", r"\.zarr, \.tif"),
        ("a.tif", "TYX", "int64", "int64"),
        ("a.tif", "QYX", "uint8", "QYX"),
    ):
        with pytest.raises(ValueError, match=words):
            check_stack_output(tmp_path / name, axes, np.dtype(dtype))
    with pytest.raises(FileNotFoundError, match="Cannot write"):
        check_stack_output(tmp_path / "no" / "a.tif", "TYX", np.dtype("uint8"))


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX")
def test_a_full_disk_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.tif"
    write_ome_tiff(path, numbers(2, 8, 8), Calibration.unknown("TYX"))
    before = path.read_bytes()
    code = (
        "import resource, sys\n"
        "import numpy as np\n"
        "from napari_neural_style.images import Calibration\n"
        "from napari_neural_style.images.stack_files import write_ome_tiff\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))\n"
        "stack = np.random.default_rng(0).random((9, 50, 50))\n"
        "write_ome_tiff(sys.argv[1], stack, Calibration.unknown('TYX'))\n"
    )
    command = [sys.executable, "-c", code, str(path)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert f"OSError: Cannot write {path}: File too large." in process.stderr
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
