import itertools
import json
import os
import stat
import subprocess
import sys

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_neural_style import Settings
from napari_neural_style.images import (
    METADATA_KEY,
    Calibration,
    check_output,
    check_writable,
    read_calibration,
    read_image,
    to_rgb,
    to_uint8,
    write_image,
)
from napari_neural_style.images.metadata import read_metadata


@pytest.fixture
def colours():
    return np.random.default_rng(0).random((7, 5, 3), np.float32)


@pytest.mark.parametrize(
    ("name", "bits", "dtype"),
    [
        ("a.png", None, np.uint8),
        ("a.png", 8, np.uint8),
        ("a.png", 16, np.uint16),
        ("a.tif", None, np.uint16),
        ("a.TIFF", 8, np.uint8),
        ("a.tiff", 16, np.uint16),
        ("a.tif", 32, np.float32),
    ],
)
@pytest.mark.parametrize("alpha", [False, True])
def test_lossless_round_trip(tmp_path, colours, name, bits, dtype, alpha):
    path = tmp_path / name
    if alpha:
        colours = np.concatenate([colours, colours[::-1, :, :1]], axis=-1)
    write_image(path, colours, bits)
    image = read_image(path)
    assert image.dtype == dtype
    top = 1 if bits == 32 else np.iinfo(dtype).max
    assert np.abs(image / top - colours).max() <= (0 if bits == 32 else 0.51 / top)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg"])
def test_arrays_of_any_strides_are_written(tmp_path, colours, name):
    turned = to_uint8(colours).swapaxes(0, 1)[::-1]
    write_image(tmp_path / name, turned)
    write_image(tmp_path / f"plain-{name}", turned.copy())
    assert (tmp_path / name).read_bytes() == (tmp_path / f"plain-{name}").read_bytes()


@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG"])
def test_jpeg_round_trip(tmp_path, name):
    ramp = np.broadcast_to(np.linspace(0, 1, 32)[:, None, None], (32, 24, 3))
    write_image(tmp_path / name, ramp)
    assert np.abs(to_rgb(read_image(tmp_path / name)) - ramp).max() < 0.02


def test_jpeg_gets_transparent_colours_over_black(tmp_path):
    image = np.ones((16, 16, 4))
    image[:8, :, 3] = 0
    write_image(tmp_path / "a.jpg", image)
    back = read_image(tmp_path / "a.jpg")
    assert back[:6].max() < 10
    assert back[10:].min() > 245


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("a.png", "u1"),
        ("a.png", "u2"),
        ("a.png", ">u2"),
        *(
            ("a.tif", dtype)
            for dtype in ("?", "u1", "i1", "u2", ">i2", "u4", "i8", "f2", "f4", "f8")
        ),
    ],
)
def test_one_channel_keeps_its_values_and_dtype(tmp_path, name, dtype):
    image = np.random.default_rng(2).integers(0, 99, (5, 7)).astype(dtype)
    write_image(tmp_path / name, image, metadata={"seed": 3})
    back = read_image(tmp_path / name)
    assert back.dtype == image.dtype.newbyteorder("=")
    assert np.array_equal(back, image)
    gray = image.astype(np.uint8)
    write_image(tmp_path / "a.jpg", gray)
    assert read_image(tmp_path / "a.jpg").shape == gray.shape


@pytest.mark.parametrize("channels", [(), (3,)])
@pytest.mark.parametrize("unit", ["micrometer", "nanometer", "inch"])
def test_tiff_keeps_the_size_of_a_pixel(tmp_path, channels, unit):
    calibration = Calibration("YX", (0.5, 0.25), (unit, unit))
    image = np.random.default_rng(2).random((5, 7, *channels), np.float32)
    write_image(tmp_path / "a.tif", image, calibration=calibration)
    back = read_calibration(tmp_path / "a.tif")
    factor = {"micrometer": 1, "nanometer": 1e-3, "inch": 25400}[unit]
    assert back.units == ("micrometer", "micrometer")
    assert back.scale == pytest.approx([0.5 * factor, 0.25 * factor])
    with Image.open(tmp_path / "a.tif") as other:
        assert other.tag_v2[296] == 3  # centimetres
        assert 1e4 / float(other.tag_v2[282]) == pytest.approx(0.25 * factor)


def test_a_recipe_with_arrays_is_no_description_of_the_pixels(tmp_path, colours):
    recipe = Settings(mask=np.eye(3, dtype=int)).to_dict()
    write_image(tmp_path / "a.tif", colours, metadata=recipe)
    assert read_image(tmp_path / "a.tif").shape == colours.shape
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert json.loads(file.pages[0].description) == {METADATA_KEY: recipe}


def test_other_programs_read_what_is_written(tmp_path, colours):
    write_image(tmp_path / "a.png", colours, metadata={"seed": 3})
    with Image.open(tmp_path / "a.png") as image:
        image.load()
        assert np.array_equal(image, to_uint8(colours))
        assert image.text == {METADATA_KEY: '{"seed": 3}'}
    write_image(tmp_path / "a.tif", colours, bits=8, metadata={"name": "Zürich"})
    with Image.open(tmp_path / "a.tif") as image:
        assert np.array_equal(image, to_uint8(colours))
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.pages[0].description == '{"napari_neural_style": {"name": "Z\\u00fcrich"}}'
    write_image(tmp_path / "a.jpg", colours, metadata={"seed": 3})
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.info["comment"] == b'{"napari_neural_style": {"seed": 3}}'
    # A comment has no more than 64 kB, and our reader goes on in the next.
    for length in (65_533, 70_000, 140_000):
        metadata = {"long": "x" * (length - len(json.dumps({METADATA_KEY: {"long": ""}})))}
        write_image(tmp_path / "b.jpg", colours, metadata=metadata)
        assert read_metadata(tmp_path / "b.jpg") == metadata
        np.testing.assert_array_equal(
            read_image(tmp_path / "b.jpg"), read_image(tmp_path / "a.jpg")
        )


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_png_of_every_kind(tmp_path, colours, mode):
    source = Image.fromarray(to_uint8(colours))
    if mode == "I;16":
        source = Image.fromarray((colours[..., 0] * 65535).astype(np.uint16))
    else:
        source = source.convert(mode)
    source.save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    if mode == "1":
        expected = np.where(source, 255, 0)
    elif mode in ("LA", "P"):
        expected = np.asarray(source.convert("RGBA" if mode == "LA" else "RGB"))
    else:
        expected = np.asarray(source)
    assert np.array_equal(image, expected)


@pytest.mark.parametrize("channels", [(), (3,), (4,)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_png_keeps_its_depth_and_channels(tmp_path, channels, dtype):
    rng = np.random.default_rng(1)
    image = rng.integers(0, np.iinfo(dtype).max, (5, 7, *channels), dtype, endpoint=True)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(image))
    back = read_image(tmp_path / "a.png")
    assert back.dtype == dtype
    assert np.array_equal(back, image)


def test_transparent_palette(tmp_path):
    source = Image.new("P", (2, 1))
    source.putpalette([255, 0, 0, 0, 255, 0])
    source.putdata([0, 1])
    source.save(tmp_path / "a.png", transparency=1)
    assert read_image(tmp_path / "a.png").tolist() == [[[255, 0, 0, 255], [0, 255, 0, 0]]]
    source.save(tmp_path / "a.gif", transparency=1)
    assert read_image(tmp_path / "a.gif").tolist() == [[[255, 0, 0, 255], [0, 255, 0, 0]]]


def test_jpeg_is_turned_as_its_orientation_asks(tmp_path):
    upright = np.zeros((32, 16, 3), np.uint8)
    upright[:16] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(upright)).save(tmp_path / "a.jpg", exif=exif)
    image = read_image(tmp_path / "a.jpg")
    assert image.shape == upright.shape
    assert np.abs(image.astype(int) - upright).max() < 10


def test_a_large_photograph_is_read_and_a_huge_one_refused(tmp_path, monkeypatch):
    Image.new("RGB", (16, 16)).save(tmp_path / "a.jpg")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200)  # Pillow warns above it
    assert read_image(tmp_path / "a.jpg").shape == (16, 16, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # and refuses above its double
    with pytest.raises(ValueError, match="too many pixels"):
        read_image(tmp_path / "a.jpg")


def test_cmyk_jpeg(tmp_path):
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "a.jpg")
    assert np.allclose(read_image(tmp_path / "a.jpg")[0, 0], (255, 0, 0), atol=5)


@pytest.mark.parametrize(
    ("dtype", "channels"),
    [*itertools.product(["u1", "<u2", ">u2", "i2", "f4", "f8"], [(), (3,), (4,)]), ("?", ())],
)
def test_tiff_keeps_its_dtype_and_channels(tmp_path, dtype, channels):
    image = np.random.default_rng(2).integers(0, 99, (5, 7, *channels)).astype(dtype)
    photometric = "rgb" if channels else "minisblack"
    byteorder = ">" if dtype[0] == ">" else "<"
    tifffile.imwrite(tmp_path / "a.tif", image, photometric=photometric, byteorder=byteorder)
    back = read_image(tmp_path / "a.tif")
    assert back.dtype == image.dtype.newbyteorder("=")
    assert np.array_equal(back, image)


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "lzw", "photometric": "rgb"},
        {"compression": "zlib", "predictor": True, "photometric": "rgb"},
        {"bigtiff": True, "photometric": "rgb"},
        {"tile": (16, 16), "photometric": "rgb"},
        {"photometric": "rgb", "planarconfig": "separate"},
    ],
)
def test_tiff_layouts(tmp_path, colours, options):
    image = to_uint8(colours)
    stored = np.moveaxis(image, -1, 0) if "planarconfig" in options else image
    tifffile.imwrite(tmp_path / "a.tif", stored, **options)
    assert np.array_equal(read_image(tmp_path / "a.tif"), image)


def test_tiff_axes_of_length_one_are_dropped(tmp_path):
    image = np.arange(12, dtype=np.uint16).reshape(1, 1, 1, 3, 4)
    options = {"photometric": "minisblack", "metadata": {"axes": "TCZYX"}}
    tifffile.imwrite(tmp_path / "a.ome.tif", image, **options)
    assert np.array_equal(read_image(tmp_path / "a.ome.tif"), image[0, 0, 0])
    tifffile.imwrite(tmp_path / "row.tif", image[0, 0, 0, :1])
    assert read_image(tmp_path / "row.tif").shape == (1, 4)


def test_tiff_photometric_interpretations(tmp_path):
    image = np.array([[0, 1], [2, 255]], np.uint8)
    tifffile.imwrite(tmp_path / "white.tif", image, photometric="miniswhite")
    assert read_image(tmp_path / "white.tif").tolist() == [[255, 254], [253, 0]]
    palette = np.zeros((3, 256), np.uint16)
    palette[0, 1], palette[2, 255] = 65535, 999
    tifffile.imwrite(tmp_path / "palette.tif", image, photometric="palette", colormap=palette)
    assert read_image(tmp_path / "palette.tif").tolist() == [
        [[0, 0, 0], [65535, 0, 0]],
        [[0, 0, 0], [0, 0, 999]],
    ]
    tifffile.imwrite(
        tmp_path / "gray-alpha.tif",
        np.stack([image, image[::-1]], -1),
        photometric="minisblack",
        planarconfig="contig",
        extrasamples=["unassalpha"],
    )
    assert read_image(tmp_path / "gray-alpha.tif")[0, 1].tolist() == [1, 1, 1, 255]
    tifffile.imwrite(tmp_path / "cmyk.tif", np.zeros((4, 4, 4), np.uint8), photometric="separated")
    with pytest.raises(ValueError, match="SEPARATED"):
        read_image(tmp_path / "cmyk.tif")


@pytest.mark.parametrize("shape", [(3, 8, 9), (2, 3, 8, 9)])
def test_a_stack_asks_for_one_plane(tmp_path, shape):
    tifffile.imwrite(tmp_path / "stack.tif", np.zeros(shape, np.uint8), photometric="minisblack")
    with pytest.raises(ValueError, match="select one plane") as raised:
        read_image(tmp_path / "stack.tif")
    assert str(shape) in str(raised.value)
    assert "stack.tif" in str(raised.value)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg"])
def test_a_damaged_file_is_named(tmp_path, colours, name):
    path = tmp_path / name
    write_image(path, np.tile(colours, (30, 30, 1)))
    data = path.read_bytes()
    for length in (12, 30, len(data) // 2):
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match=name):
            read_image(path)


@pytest.mark.parametrize("data", [b"", b"not an image", b"\x80\x04K\x00." * 99])
def test_a_file_that_is_no_image(tmp_path, data):
    path = tmp_path / "a.png"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"a\.png: it is not an image.*PNG, JPEG and TIFF"):
        read_image(path)


def test_missing_files_and_folders(tmp_path, colours):
    with pytest.raises(FileNotFoundError, match=r"no\.png: there is no such file"):
        read_image(tmp_path / "no.png")
    with pytest.raises(OSError, match="Cannot read"):
        read_image(tmp_path)
    for write in (lambda path: write_image(path, colours), check_output):
        with pytest.raises(FileNotFoundError, match=r"a\.png: there is no such file or folder"):
            write(tmp_path / "no" / "a.png")
        with pytest.raises(ValueError, match=r"\.gif.*\.png, \.tif"):
            write(tmp_path / "a.gif")
        with pytest.raises(ValueError, match=r"Cannot write .*extension"):
            write(tmp_path / "a")
    with pytest.raises(ValueError, match="with 16 bits"):
        check_output(tmp_path / "a.jpg", 16)
    with pytest.raises(ValueError, match=r"dtype float32.*uint8 or uint16.*\.tif"):
        check_output(tmp_path / "a.png", dtype=np.float32)
    with pytest.raises(ValueError, match="keeps its own dtype, uint16"):
        check_output(tmp_path / "a.tif", 8, np.uint16)
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="Cannot write"):
        write_image(tmp_path / "file" / "a.png", colours)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(IsADirectoryError, match="folder"):
        check_output(tmp_path / "folder.png")


def test_a_check_leaves_nothing_behind(tmp_path):
    check_output(tmp_path / "a.png", 16)
    check_writable(tmp_path / "losses.csv")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are POSIX")
def test_write_protection_is_noticed(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    folder = tmp_path / "folder"
    folder.mkdir()
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(PermissionError, match="permission"):
        check_output(folder / "a.png")
    (tmp_path / "a.png").touch(stat.S_IRUSR)
    with pytest.raises(PermissionError, match="write-protected"):
        check_output(tmp_path / "a.png")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, colours):
    path = tmp_path / "a.png"
    write_image(path, colours)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        write_image(path, colours, metadata={"not JSON": object()})
    (tmp_path / "b.png").mkdir()
    with pytest.raises(OSError, match=r"b\.png"):
        write_image(tmp_path / "b.png", colours)
    assert path.read_bytes() == before
    assert {child.name for child in tmp_path.iterdir()} == {"a.png", "b.png"}


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX")
def test_a_full_disk_leaves_the_old_file(tmp_path, colours):
    path = tmp_path / "a.png"
    write_image(path, colours)
    before = path.read_bytes()
    code = (
        "import resource, sys\n"
        "import numpy as np\n"
        "from napari_neural_style.images import write_image\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "write_image(sys.argv[1], np.random.default_rng(0).random((50, 50, 3)))\n"
    )
    command = [sys.executable, "-c", code, str(path)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert f"OSError: Cannot write {path}: File too large." in process.stderr
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_a_link_stays_a_link(tmp_path, colours):
    (tmp_path / "link.png").symlink_to(tmp_path / "real.png")
    write_image(tmp_path / "link.png", colours)
    assert (tmp_path / "link.png").is_symlink()
    assert read_image(tmp_path / "real.png").shape == colours.shape


def test_a_link_that_leads_in_a_circle_is_replaced(tmp_path):
    path = tmp_path / "a.png"
    path.symlink_to(path)
    check_output(path)
    write_image(path, np.zeros((16, 16, 3)))
    assert read_image(path).shape == (16, 16, 3)
