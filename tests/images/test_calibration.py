import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_neural_style.images import Calibration, read_calibration
from napari_neural_style.images.calibration import (
    ome_attributes,
    ome_color,
    pixels_per_centimeter,
    tiff_calibration,
    unit_name,
)

PLANE = np.arange(20, dtype=np.uint8).reshape(4, 5)


def write_and_read(path, shape, **options):
    tifffile.imwrite(path, np.resize(PLANE, shape), photometric="minisblack", **options)
    with tifffile.TiffFile(path) as file:
        return tiff_calibration(file)


def test_ome_metadata(tmp_path):
    metadata = {
        "axes": "TZYX",
        **{"PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "nm"},
        **{"PhysicalSizeY": 0.25, "PhysicalSizeZ": 2, "PhysicalSizeZUnit": "mm"},
        **{"TimeIncrement": 30, "TimeIncrementUnit": "ms"},
    }
    found = write_and_read(tmp_path / "a.ome.tif", (2, 3, 4, 5), metadata=metadata)
    assert found == Calibration(
        "TZYX", (30, 2, 0.25, 0.5), ("millisecond", "millimeter", "micrometer", "nanometer")
    )
    assert ome_attributes(found) == {
        **{"PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "nm"},
        **{"PhysicalSizeY": 0.25, "PhysicalSizeYUnit": "µm"},
        **{"PhysicalSizeZ": 2, "PhysicalSizeZUnit": "mm"},
        **{"TimeIncrement": 30, "TimeIncrementUnit": "ms"},
    }


@pytest.mark.parametrize("unit", ["um", "micron", "\\u00B5m"])
def test_imagej_metadata(tmp_path, unit):
    metadata = {"axes": "TZYX", "unit": unit, "spacing": 1.5, "finterval": 12.0}
    found = write_and_read(
        tmp_path / "a.tif", (2, 3, 4, 5), imagej=True, resolution=(4, 2), metadata=metadata
    )
    assert found == Calibration("TZYX", (12, 1.5, 0.5, 0.25), ("second", *("micrometer",) * 3))


def test_colours_of_channels(tmp_path):
    colors = ("#0000ff", "#ff8000")
    metadata = {"axes": "CYX", "Channel": {"Color": [ome_color(color) for color in colors]}}
    assert write_and_read(tmp_path / "a.ome.tif", (2, 4, 5), metadata=metadata).colors == colors
    metadata = {"axes": "CYX", "Channel": {"Name": ["DAPI", "GFP"]}}
    assert write_and_read(tmp_path / "b.ome.tif", (2, 4, 5), metadata=metadata).colors == ()
    ramp = np.arange(256, dtype=np.uint8)
    tables = [np.stack([ramp * part for part in parts]) for parts in ((0, 0, 1), (1, 1, 0))]
    metadata = {"axes": "CYX", "mode": "composite", "LUTs": tables}
    found = write_and_read(tmp_path / "c.tif", (2, 4, 5), imagej=True, metadata=metadata)
    assert found.colors == ("#0000ff", "#ffff00")
    assert found.resized((4, 5), (2, 2)).colors == found.colors
    assert Calibration.of("CYX", {}, (), ("#0000ff", "javascript:")).colors == ()


def test_names_of_channels(tmp_path):
    names = ("DAPI", "GFP & <µ>")
    for axes, shape in (("TCYX", (3, 2, 4, 5)), ("CZYX", (2, 3, 4, 5))):
        metadata = {"axes": axes, "Channel": {"Name": list(names)}}
        found = write_and_read(tmp_path / "a.ome.tif", shape, metadata=metadata)
        assert found.channels == names
    metadata = {"axes": "TYX", "Channel": {"Name": ["DAPI"]}}
    found = write_and_read(tmp_path / "a.ome.tif", (3, 4, 5), metadata=metadata)
    assert found.channels == ("DAPI",)
    assert found.resized((4, 5), (2, 2)).channels == ("DAPI",)
    found = write_and_read(tmp_path / "a.ome.tif", (3, 2, 4, 5), metadata={"axes": "TCYX"})
    assert found.channels == ()


def test_labels_of_imagej_that_name_channels(tmp_path):
    def channels(shape, axes, labels):
        metadata = {"axes": axes, "Labels": labels}
        options = {"imagej": True, "metadata": metadata}
        return write_and_read(tmp_path / "a.tif", shape, **options).channels

    assert channels((3, 2, 4, 5), "TCYX", ["DAPI", "GFP"] * 3) == ("DAPI", "GFP")
    assert channels((2, 4, 5), "CYX", ["DAPI", "GFP"]) == ("DAPI", "GFP")
    assert channels((3, 2, 4, 5), "TCYX", [f"plane {i}" for i in range(6)]) == ()
    assert channels((3, 4, 5), "TYX", ["a", "b", "c"]) == ()


def test_resolution_tags(tmp_path):
    options = {"resolution": (20000, 10000), "resolutionunit": "CENTIMETER"}
    found = write_and_read(tmp_path / "a.tif", (4, 5), **options)
    assert found == Calibration("YX", (1, 0.5), ("micrometer", "micrometer"))
    write_and_read(tmp_path / "a.tif", (4, 5), resolution=(100, 100), resolutionunit="INCH")
    found = read_calibration(tmp_path / "a.tif")
    assert found == Calibration("YX", (254, 254), ("micrometer", "micrometer"))


def test_files_that_tell_no_size(tmp_path):
    assert write_and_read(tmp_path / "a.tif", (3, 4, 5)) == Calibration.unknown("QYX")
    assert write_and_read(tmp_path / "a.tif", (4, 5), resolutionunit="INCH").units[0] == "pixel"
    none = {"axes": "YX", "PhysicalSizeX": 0.0, "PhysicalSizeY": float("nan")}
    assert write_and_read(tmp_path / "a.ome.tif", (4, 5), metadata=none) == Calibration.unknown(
        "YX"
    )
    relative = {"axes": "YX", "PhysicalSizeX": 2, "PhysicalSizeXUnit": "reference frame"}
    write_and_read(tmp_path / "a.ome.tif", (4, 5), metadata=relative)
    assert read_calibration(tmp_path / "a.ome.tif") == Calibration.unknown("YX")
    Image.fromarray(PLANE).save(tmp_path / "a.png")
    assert read_calibration(tmp_path / "a.png") == Calibration.unknown("YX")
    damaged = "<?xml version='1.0'?><OME><Image></OME>"
    write_and_read(tmp_path / "a.tif", (4, 5), description=damaged, metadata=None)
    assert read_calibration(tmp_path / "a.tif") == Calibration.unknown("YX")


def test_a_resized_image_spans_what_it_did():
    calibration = Calibration("TYX", (3, 0.5, 1), ("second", "micrometer", "pixel"))
    resized = calibration.resized((100, 50), (50, 25))
    assert resized == Calibration("TYX", (3, 1, 1), calibration.units)


@pytest.mark.parametrize(
    ("written", "name"),
    [
        *(("µm", "micrometer"), ("μm", "micrometer"), ("Micrometre", "micrometer")),
        *(("microns", "micrometer"), ("meters", "meter"), ("m", "meter"), ("sec", "second")),
        *(("min", "minute"), ("parsec", "pixel"), ("", "pixel")),
    ],
)
def test_units_have_one_name(written, name):
    assert unit_name(written) == name


@pytest.mark.parametrize(
    ("size", "unit"), [(1, "pixel"), (1, "second"), (1e-7, "picometer"), (1e9, "meter")]
)
def test_what_resolution_tags_cannot_say(size, unit):
    assert pixels_per_centimeter(Calibration("YX", (size, size), (unit, unit))) is None
