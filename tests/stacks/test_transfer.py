import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest
import zarr

from napari_neural_style import StackTransfer, StyleTransfer, stylize_stack
from napari_neural_style.images import to_uint8
from napari_neural_style.images.metadata import read_metadata
from napari_neural_style.settings import make_settings

from .conftest import QUICK, moving, stripes


def transfer(stack, axes="TYX", *, style=None, **options):
    return StackTransfer(
        stack,
        stripes() if style is None else style,
        axes,
        client="here",
        **({} if "settings" in options else QUICK) | options,
    )


class Lazy:
    """A stack that counts which planes are read, and may be damaged."""

    def __init__(self, values, damaged=()):
        self.values, self.damaged, self.read = values, set(damaged), []
        self.shape, self.dtype = values.shape, values.dtype

    def __getitem__(self, index):
        assert all(isinstance(i, int) for i in index if i != slice(None))
        self.read.append(index[0])
        if index[0] in self.damaged:
            raise OSError("chunk 5 is damaged")
        return self.values[index]


# ------------------------------------------------------------------ what it gives


def test_updates_tell_every_step_and_every_plane(stack):
    run = transfer(stack)
    assert run.total == 4
    assert run.done == 0
    updates = list(run)
    ends = [update for update in updates if update.finished is not None]
    assert [update.plane for update in ends] == [(0,), (1,), (2,), (3,)]
    assert [update.done for update in ends] == [1, 2, 3, 4]
    first = [update for update in updates if update.plane == (0,) and update.finished is None]
    assert [update.step for update in first] == [1, 2, 3, 4, 5, 6]
    assert {update.steps for update in first} == {6}
    assert updates[-1].seconds_left == 0
    assert any(update.seconds_left for update in updates)
    for update in ends:
        assert np.array_equal(run.result[update.plane], update.finished)
    assert run.done == 4
    assert run.failed == {}


def test_finished_planes_are_in_the_result_while_it_goes_on(stack):
    run = transfer(stack)
    for update in run:
        if update.done == 2:
            break
    now = zarr.open_array(run.path, mode="r")[:]
    assert now[:2].any(axis=(1, 2, 3)).all()
    assert not now[2:].any()


@pytest.mark.parametrize(
    ("axes", "shape", "output", "expected"),
    [
        ("TYX", (2, 32, 32), "rgb", (2, 32, 32, 3)),
        ("ZYXS", (2, 32, 32, 3), "rgb", (2, 32, 32, 3)),
        ("SYXT", (4, 32, 24, 2), "rgb", (2, 32, 24, 4)),
        ("TZYX", (2, 2, 24, 32), "rgb", (2, 2, 24, 32, 3)),
        ("TCYX", (2, 2, 32, 32), "intensity", (2, 2, 32, 32)),
        ("YXT", (32, 32, 2), "intensity", (2, 32, 32)),
    ],
)
def test_axes_of_the_result(axes, shape, output, expected):
    stack = np.random.default_rng(0).integers(0, 60000, shape).astype(np.uint16)
    run = transfer(stack, axes, output=output, steps=2)
    result = run.run()
    assert result.shape == expected
    assert result.dtype == (np.uint8 if output == "rgb" else np.uint16)
    names = run.axes.along + ("YXS" if output == "rgb" else "YX")
    assert result.metadata.dimension_names == tuple(names)
    assert run.done == run.total == np.prod(expected[: len(run.axes.along)])
    planes = result[:].reshape(run.total, -1)
    assert (np.ptp(planes, axis=1) > 50).all()


def test_the_same_again(stack):
    assert np.array_equal(transfer(stack).run()[:], transfer(da.from_array(stack)).run()[:])


def test_a_faint_plane_stays_faint(stack):
    faint = stack.copy()
    faint[1] = 400 + (faint[1] - 400.0) * 0.05
    painted = transfer(faint, output="intensity", segment=1).run()[:]
    assert painted[1].mean() - 400 < 0.5 * (painted[0].mean() - 400)


def test_stylize_stack_gives_the_array(stack, style, tmp_path):
    painted = stylize_stack(stack[:2], style, "TYX", client="here", out=tmp_path / "a", **QUICK)
    assert np.array_equal(painted[:], transfer(stack[:2]).run()[:])
    assert np.array_equal(zarr.open_array(tmp_path / "a", mode="r")[:], painted[:])


def test_settings_instead_of_overrides(stack):
    settings = make_settings(**QUICK)
    run = transfer(stack[:2], settings=settings)
    assert run.settings == settings
    assert np.array_equal(run.run()[:], transfer(stack[:2]).run()[:])


def test_provenance_can_be_stored(stack):
    run = transfer(stack, output="intensity")
    recipe = run.provenance()
    assert recipe["settings"]["steps"] == 6
    assert recipe["settings"]["color"] == "luminance"
    assert recipe["axes"] == "TYX"
    assert "not data" in recipe["note"]


def test_it_tells_what_painted_it_and_from_what(stack, tmp_path):
    run = transfer(stack, out=tmp_path / "out", planes=slice(0, 1))
    run.run()
    first = json.loads(json.dumps(run.provenance()))
    transfer(stack, out=tmp_path / "out").run()
    again = transfer(stack, out=tmp_path / "out")  # which has nothing to paint
    again.run()
    told = read_metadata(tmp_path / "out")
    assert told["sessions"] == again.provenance()["sessions"]
    assert [session["planes"] for session in told["sessions"]] == [1, 3]
    assert told["sessions"][0] == first["sessions"][0]
    session = told["sessions"][1]
    assert (session["device"], session["precision"]) == ("cpu", "float32")
    assert {"torch", "numpy"} <= session["versions"].keys()
    assert session["machine"]["threads"] > 0
    assert len(session["weights"]["sha256"]) == 64
    assert session["seconds"] > 0
    assert again.provenance()["inputs"]["content"] != first["inputs"]["content"]
    other = transfer(stack + 1, out=tmp_path / "other")
    other.run()
    assert other.provenance()["inputs"]["content"] != again.provenance()["inputs"]["content"]


def test_the_estimate_shrinks_with_what_is_left(stack, tmp_path):
    out = tmp_path / "out"
    before = transfer(stack, out=out).estimate()
    assert before.memory > 0
    assert before.seconds > 0
    transfer(stack, out=out).run()
    assert transfer(stack, out=out).estimate().seconds == 0


# ----------------------------------------------------------------------- masks


def regions(planes=4):
    """Return labels of each plane, (planes, 32, 32): none in the second."""
    masks = np.zeros((planes, 32, 32), np.uint8)
    for t in range(planes):
        masks[t, 8:24, 4 + 4 * t : 16 + 4 * t] = 1 + t % 2
    masks[1] = 0
    return masks


def test_each_plane_is_painted_within_its_own_labels(stack):
    masks, labels = Lazy(regions()), np.ones((32, 32), np.uint8)
    labels[16:] = 2
    run = transfer(stack, mask=masks, style_masks=labels, output="intensity")
    masks.read.clear()
    assert [u.plane[0] for u in run if u.finished is not None] == [0, 1, 2, 3]
    assert masks.read == [0, 1, 2, 3]
    painted = run.result[:]
    outside = regions() == 0
    assert np.array_equal(painted[outside], stack[outside])
    for t in (0, 2, 3):
        assert (painted[t] != stack[t])[~outside[t]].mean() > 0.5
    # Where the plane before was not painted, there is nothing to start from.
    guides = {"mask": regions()[2], "style_masks": labels}
    alone = transfer(stack, **guides, segment=1, output="intensity", planes=slice(2, 3)).run()
    assert np.array_equal(painted[2], alone[2])


def test_regions_that_come_are_painted_as_those_of_planes_alone(stack):
    masks = np.zeros((4, 32, 32), np.uint8)
    for t in range(4):
        masks[t, 16 * (t % 2) : 16 + 16 * (t % 2)] = 1
    painted = transfer(stack, mask=masks).run()[:]
    alone = transfer(stack, mask=masks, planes=slice(3, 4)).run()
    assert np.array_equal(painted[3], alone[3])


def test_masks_of_planes_belong_to_what_was_painted(stack, tmp_path):
    options = {"out": tmp_path / "out", "steps": 1}
    transfer(stack, mask=regions(), **options).run()
    assert transfer(stack, mask=da.from_array(regions()), **options).done == 4
    other = regions()
    other[3, 0, 0] = 1
    for mask in (other, None, regions()[0]):
        with pytest.raises(ValueError, match="painted otherwise"):
            transfer(stack, mask=mask, **options)
    guides = {"mask": regions(), "style_masks": np.full((32, 32), 2) - np.eye(32, dtype=int)}
    with pytest.raises(ValueError, match="painted otherwise"):
        transfer(stack, **guides, **options)


def test_masks_beside_complete_settings(stack):
    settings = make_settings(**QUICK | {"steps": 2})
    for mask in (regions()[0], regions(), regions().tolist()):
        run = transfer(stack, settings=settings, mask=mask, planes=slice(0, 1))
        expected = transfer(stack, mask=regions()[0], steps=2, planes=slice(0, 1))
        assert np.array_equal(run.run()[0], expected.run()[0])


def test_masks_of_planes_in_colour_have_no_samples():
    stack = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 4)).astype(np.uint8)
    stack[..., 3] |= 1
    run = transfer(np.moveaxis(stack, 3, 0), "STYX", mask=regions(3), steps=2)
    painted = run.run()[:]
    assert np.array_equal(painted[..., 3], stack[..., 3])
    outside = regions(3) == 0
    assert np.array_equal(painted[outside], stack[outside])


# --------------------------------------------------------------------- lazily


def test_planes_are_read_one_at_a_time_and_once():
    stack = Lazy(moving(6))
    run = transfer(stack, steps=2)
    looked_at, stack.read = stack.read, []
    assert sorted(looked_at) == list(range(6))  # for the contrast limits
    for update in run:
        if update.finished is not None:
            assert stack.read == list(range(update.plane[0] + 1))
    assert stack.read == list(range(6))


def test_where_the_limits_are_known_nothing_is_read_before():
    stack = Lazy((moving(3) >> 6).astype(np.uint8))
    transfer(stack)
    assert stack.read == []


def test_dask_reads_one_plane_at_a_time():
    held, most = [], []

    def load(block):
        held.append(1)
        most.append(len(held))
        held.pop()
        return block

    stack = da.from_array(moving(5), chunks=(1, 32, 32)).map_blocks(load, meta=np.empty((0,) * 3))
    with dask.config.set(scheduler="sync"):
        transfer(stack.astype(np.uint16), steps=2).run()
    assert max(most) == 1
    assert len(most) == 10  # once for the limits


# -------------------------------------------------------------- stopped, resumed


def test_stopped_and_started_again_it_does_only_what_is_missing(stack, tmp_path):
    whole, out = transfer(stack).run()[:], tmp_path / "out"
    first = transfer(stack, out=out)
    for update in first:
        if update.done == 2:
            first.stop()
    assert first.done == 2
    second = transfer(stack, out=out)
    assert second.done == 2
    assert {update.plane for update in second} == {(2,), (3,)}
    assert np.array_equal(second.result[:], whole)
    third = Lazy(stack)
    assert list(transfer(third, out=out)) == []


def test_stopped_in_the_middle_of_a_plane_from_another_thread(stack):
    run = transfer(stack, steps=10_000)
    threading.Timer(0.5, run.stop).start()
    updates = list(run)
    assert 1 <= updates[-1].step < 10_000
    assert run.done == 0
    assert list(run) == []


def test_stopped_before_it_began(stack):
    run = transfer(stack)
    run.stop()
    assert list(run) == []


PROGRAM = """
import sys
from tests.stacks.test_transfer import moving, transfer
for update in transfer(moving(), out=sys.argv[1], steps=30):
    print(update.done, update.step, flush=True)
"""


def test_killed_in_the_middle_and_started_again(stack, tmp_path):
    program = [sys.executable, "-c", PROGRAM, tmp_path / "out"]
    root = Path(__file__).parents[2]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        for line in process.stdout:
            if line == "1 2\n":  # the second plane is begun
                os.kill(process.pid, signal.SIGKILL)
    again = transfer(stack, out=tmp_path / "out", steps=30)
    assert again.done == 1
    assert {update.plane[0] for update in again} == {1, 2, 3}
    assert np.array_equal(again.result[:], transfer(stack, steps=30).run()[:])


def test_only_some_planes(stack, tmp_path):
    out = tmp_path / "out"
    run = transfer(stack, planes=slice(1, 3), out=out)
    assert run.total == 2
    assert {update.plane for update in run} == {(1,), (2,)}
    assert not run.result[0].any()
    rest = transfer(stack, out=out)
    assert rest.done == 2
    assert {update.plane for update in rest} == {(0,), (3,)}


def test_another_device_goes_on_with_what_is_there(stack, tmp_path):
    run = transfer(stack, planes=slice(0, 1), out=tmp_path / "out")
    run.run()
    assert transfer(stack, out=tmp_path / "out", device="auto").done == 1


def test_where_nothing_was_done_another_stack_may_begin(stack, tmp_path):
    run = transfer(stack, out=tmp_path / "out")
    next(run)
    run.stop()
    assert list(run) == []
    other = transfer(stack, out=tmp_path / "out", steps=3, planes=slice(0, 1))
    assert np.array_equal(other.run()[0], transfer(stack, steps=3).run()[0])


@pytest.mark.parametrize("other", [{"steps": 7}, {"output": "intensity"}, {"segment": 3}])
def test_other_settings_do_not_mix_with_what_is_there(stack, tmp_path, other):
    transfer(stack, planes=slice(0, 1), out=tmp_path / "out").run()
    with pytest.raises(ValueError, match="painted otherwise"):
        transfer(stack, out=tmp_path / "out", **other)
    with pytest.raises(ValueError, match="painted otherwise"):
        transfer(stack, out=tmp_path / "out", style=stripes()[::-1])


@pytest.mark.parametrize("changed", [0, 3])
def test_planes_of_another_stack_are_not_taken_for_its_own(stack, tmp_path, changed):
    transfer(stack, out=tmp_path / "out", steps=2).run()
    other = stack.copy()
    other[changed, 5, 5] += 1
    with pytest.raises(ValueError, match="painted otherwise"):
        transfer(other, out=tmp_path / "out", steps=2)
    assert transfer(stack, out=tmp_path / "out", steps=2).done == 4


def test_of_a_long_stack_some_planes_are_compared_and_what_others_start_from(tmp_path):
    stack, options = Lazy(moving(20)), {"steps": 1, "out": tmp_path / "out"}
    transfer(stack, planes=slice(0, 19), **options).run()
    stack.read = []
    again = transfer(stack, **options)
    assert len(stack.read) == 8
    assert {0, 18} <= set(stack.read)
    stack.values[18, 5, 5] += 1
    again._source.clear()
    with pytest.raises(ValueError, match="painted otherwise"):
        again.run()


def test_done_planes_whose_source_is_gone_stay(stack, tmp_path):
    values, options = (stack >> 6).astype(np.uint8), {"out": tmp_path / "out", "steps": 2}
    transfer(values, planes=slice(0, 2), **options).run()
    assert transfer(Lazy(values, damaged={0}), **options).done == 2


def test_two_runs_into_one_folder(stack, tmp_path):
    out = tmp_path / "out"
    run = transfer(stack, out=out)
    next(run)
    with pytest.raises(OSError, match="is being painted by process"):
        transfer(stack, out=out)
    run.stop()
    assert list(run) == []
    transfer(stack, out=out, steps=2).run()


def test_of_two_made_for_one_folder_the_second_is_not_mixed_with_the_first(stack, tmp_path):
    first = transfer(stack, out=tmp_path / "out")
    same = transfer(stack, out=tmp_path / "out", planes=slice(0, 2))
    same.run()
    assert {update.plane for update in first} == {(2,), (3,)}
    assert np.array_equal(first.result[:], transfer(stack).run()[:])

    first = transfer(stack, out=tmp_path / "b")
    second = transfer(stack, out=tmp_path / "b", steps=3)
    with pytest.raises(ValueError, match="painted otherwise"):
        first.run()
    other = transfer(stack, out=tmp_path / "c")
    darker = transfer(stack // 2, out=tmp_path / "c")
    with pytest.raises(ValueError, match="painted otherwise"):
        other.run()
    assert np.array_equal(second.run()[:], transfer(stack, steps=3).run()[:])
    darker.run()


# ------------------------------------------------------------------ bad planes


@pytest.mark.parametrize("damaged", [{2}, {1, 2}, {0, 1, 2}])
def test_what_follows_an_unreadable_plane_starts_from_another(tmp_path, damaged):
    values, options = (moving(5) >> 6).astype(np.uint8), {"out": tmp_path / "out", "steps": 2}
    transfer(values, planes=slice(0, 3), **options).run()
    run = transfer(Lazy(values, damaged), **options)
    notes = {update.plane[0]: update.note for update in run if update.note}
    why = "it cannot be read again (chunk 5 is damaged): others start from other planes."
    assert notes == dict.fromkeys(damaged, why)
    assert run.failed == {}
    assert run.done == 5
    assert run.result[:].any(axis=(1, 2, 3)).all()


def test_a_blank_channel_is_told_once(stack, style):
    channels = np.stack([stack, np.full_like(stack, 7)], 1)
    run = transfer(channels, "TCYX", steps=2)
    told = [update.error for update in run if update.error]
    assert told == ["C 1: its planes cannot be read, hold NaN or infinite values, or are constant."]
    assert run.failed == {(t, 1): told[0] for t in range(4)}
    assert run.done == 4
    with pytest.warns(UserWarning, match=r"4 of 8 planes could not be painted: C 1: [^:]*$"):
        stylize_stack(channels, style, "TCYX", client="here", **QUICK | {"steps": 2})


def test_a_bad_plane_is_told_and_skipped_and_done_when_it_is_mended(tmp_path):
    values = moving(5).astype(np.float32)
    values[3] = np.nan
    stack = Lazy(values, damaged={1})
    run = transfer(stack, out=tmp_path / "out", steps=2)
    told = {update.plane: update.error for update in run if update.error}
    assert told == run.failed
    assert told[1,] == "T 1: it cannot be read (chunk 5 is damaged)."
    assert told[3,].startswith("T 3: The plane holds NaN")
    assert run.done == 3
    assert run.result[:].any(axis=(1, 2, 3)).tolist() == [True, False, True, False, True]
    others = run.result[:]

    stack.damaged, stack.values[3] = set(), stack.values[4]
    mended = transfer(stack, out=tmp_path / "out", steps=2)
    assert {update.plane for update in mended} == {(1,), (3,)}
    assert mended.result[:].any(axis=(1, 2, 3)).all()
    for t in (0, 2, 4):
        assert np.array_equal(mended.result[t], others[t])


def test_a_constant_plane_is_told(stack):
    stack[2] = 700
    run = transfer(stack, steps=2)
    run.run()
    assert list(run.failed) == [(2,)]
    assert "constant" in run.failed[2,]


def test_stylize_stack_warns_of_bad_planes(stack, style):
    stack[1] = 700
    with pytest.warns(UserWarning, match="1 of 4 planes could not be painted: T 1: The pla"):
        painted = stylize_stack(stack, style, client="here", **QUICK | {"steps": 2})
    assert not painted[1].any()


def test_where_all_planes_are_bad_it_is_an_error(style):
    limits = Lazy(moving(3), damaged={0, 1, 2})
    limits.dtype = np.dtype(np.uint8)
    with pytest.raises(ValueError, match=r"No plane could be painted. T 0: it cannot be read"):
        transfer(limits).run()


def test_a_stop_after_a_bad_plane_is_no_error(stack):
    run = transfer(Lazy(stack, damaged={0}))
    for update in run:
        if update.step == 2:
            run.stop()
    assert run.failed
    assert run.done == 0


def test_colours_are_matched_to_one_plane_whenever_others_are_painted(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)
    values[1:] //= 3
    stack, options = Lazy(values, damaged={0}), {"color": "match", "steps": 3, "segment": 1}
    transfer(stack, "TYXS", planes=slice(0, 2), out=tmp_path / "out", **options).run()
    stack.damaged = set()
    later = transfer(stack, "TYXS", out=tmp_path / "out", **options)
    later.run()
    assert list(later.provenance()["colors_matched_to"]) == [1]
    at_once = transfer(Lazy(values, damaged={0}), "TYXS", **options)
    at_once.run()
    assert np.array_equal(later.result[2], at_once.result[2])


@pytest.mark.parametrize("own", [True, False])
def test_colours_are_matched_to_what_a_mask_leaves(own):
    stack = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.uint8)
    stack[:, 16:] //= 5
    masks = np.zeros((2, 32, 32), bool)
    masks[1, 16:] = True
    run = transfer(stack, "TYXS", mask=masks if own else masks[1], color="match", steps=3)
    first = int(own)  # where there is something to paint
    assert run.provenance()["colors_matched_to"] == (first,)
    settings = make_settings(**QUICK | {"color": "match", "steps": 3, "mask": masks[1]})
    alone = StyleTransfer(stack[first], stripes(), settings=settings).run()
    assert np.array_equal(run.run()[first], to_uint8(alone))


# ------------------------------------------------------------------- bad input

BAD = [
    ({"output": "grey"}, "output='grey': it must be 'rgb' or 'intensity'"),
    ({"axes": "TQX"}, "Y (rows) must be among them"),
    ({"segment": 0}, "segment=0"),
    ({"planes": slice(9, 12)}, "planes=slice(9, 12, None): it selects none of the 4 along T"),
    ({"planes": 3}, "planes=3: it must be a slice"),
    ({"planes": slice("a")}, "planes=slice(None, 'a', None): it must be a slice"),
    ({"planes": slice(0, 2, 0)}, "planes=slice(0, 2, 0): it must be a slice"),
    ({"steps": -1}, "steps=-1"),
    ({"budget": 5.0}, "budget=5"),
    ({"settings": make_settings("fast"), "steps": 5}, "not both"),
    ({"style": np.zeros((9, 9))}, "The style is constant"),
    ({"mask": np.ones((5, 6), bool)}, "mask"),
    ({"mask": np.zeros((32, 32), bool)}, "mask"),
    ({"mask": np.ones((3, 32, 32), bool)}, "mask has shape (3, 32, 32): it must be (32, 32) for"),
    ({"mask": regions(), "style_masks": np.ones((5, 6), int)}, "style_masks[0] has shape (5, 6)"),
    ({"mask": regions(), "style_masks": np.ones((32, 32))}, "style_masks[0]"),
    ({"style_masks": np.ones((32, 32), int)}, "there is no mask"),
    ({"mask": np.zeros((4, 32, 32), bool)}, "mask has no label in any of the planes"),
    ({"mask": Lazy(regions()), "planes": slice(1, 2)}, "mask has no label in any of the planes"),
    (
        {"mask": np.full((32, 32), 3), "style_masks": np.ones((32, 32), int)},
        "3",
    ),
]


@pytest.mark.parametrize(("options", "why"), BAD)
def test_bad_input_is_said_in_a_sentence_before_anything_is_painted(stack, tmp_path, options, why):
    with pytest.raises(ValueError, match=re.escape(why)) as caught:
        transfer(stack, out=tmp_path / "out", **options)
    assert str(caught.value).endswith(".")
    assert not (tmp_path / "out").exists()


def test_a_list_of_planes_is_no_stack(stack):
    with pytest.raises(ValueError, match=r"The stack is a list, .* with numpy.stack\."):
        transfer(list(stack))


def test_what_no_plane_can_be_painted_with_ends_the_run_at_once(stack):
    lazy = Lazy((stack >> 6).astype(np.uint8))
    run = transfer(lazy, weights="nowhere/weights.pth")
    with pytest.raises((ValueError, OSError), match="nowhere"):
        run.run()
    assert lazy.read in ([], [0])


def test_intensity_is_for_one_channel():
    with pytest.raises(ValueError, match="has S"):
        transfer(np.zeros((2, 32, 32, 3), np.uint8), "TYXS", output="intensity")


def test_a_folder_of_something_else_is_not_touched(stack, tmp_path):
    (tmp_path / "thesis.txt").write_text("three years")
    with pytest.raises(ValueError, match="is no painted stack"):
        transfer(stack, out=tmp_path)
    assert list(tmp_path.iterdir()) == [tmp_path / "thesis.txt"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="it is a device of Linux")
def test_a_full_disk_ends_the_run_and_keeps_what_is_done(stack, tmp_path):
    out, journal = tmp_path / "out", tmp_path / "out" / "planes.jsonl"
    run = transfer(stack, out=out, steps=2)
    while run.done < 2:
        next(run)
    journal.rename(out / "kept")
    journal.symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"out: the disk is full"):
        run.run()
    (out / "kept").replace(journal)
    again = transfer(stack, out=out, steps=2)
    assert again.done == 2
    again.run()
    assert np.array_equal(again.result[:], transfer(stack, steps=2).run()[:])
