import random
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from napari_neural_style.stacks.axes import Axes
from napari_neural_style.stacks.schedule import Parent, Schedule


def axes_of(letters, *counts):
    return Axes.of(f"{letters}YX", SimpleNamespace(shape=(*counts, 4, 4)))


def schedule(axes, wanted=None, done=(), failed=(), segment=16):
    return Schedule(axes, axes.indices() if wanted is None else wanted, done, failed, segment)


def order(axes, segment=16):
    """Return the planes in the order in which a single painter gets them."""
    done = set()
    plan, found = schedule(axes, done=done, segment=segment), []
    while (index := plan.next()) is not None:
        found.append(index)
        done.add(index)
    return found


def test_planes_of_a_time_series_follow_each_other():
    axes = axes_of("T", 4)
    plan = schedule(axes)
    assert order(axes) == [(0,), (1,), (2,), (3,)]
    assert plan.parent((0,)) is None
    assert plan.parent((2,)) == Parent((1,), moved=True)


def test_depth_does_not_move():
    assert schedule(axes_of("Z", 4)).parent((2,)) == Parent((1,), moved=False)


def test_time_comes_before_depth():
    axes = axes_of("TZ", 3, 2)
    plan = schedule(axes)
    assert plan.parent((2, 1)) == Parent((1, 1), moved=True)
    assert plan.parent((0, 1)) == Parent((0, 0), moved=False)
    # One depth after the other: the plane that a painter read last is what the next needs.
    assert order(axes) == [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1)]


def test_channels_are_stacks_of_their_own():
    axes = axes_of("TC", 3, 2)
    assert schedule(axes).parent((0, 1)) is None
    assert schedule(axes).parent((1, 1)) == Parent((0, 1), moved=True)


def test_segments_begin_from_one_another():
    plan = schedule(axes_of("T", 9), segment=4)
    assert plan.parent((3,)) == Parent((2,), moved=True)
    assert plan.parent((4,)) == Parent((0,), moved=True)
    assert plan.parent((8,)) == Parent((4,), moved=True)


def test_segments_can_be_painted_side_by_side():
    done = {(0,)}
    plan = schedule(axes_of("T", 12), done=done, segment=4)
    assert {plan.next(), plan.next()} == {(1,), (4,)}
    assert plan.next() is None
    done.add((4,))
    assert {plan.next(), plan.next()} == {(5,), (8,)}


def test_segments_are_along_depth_where_there_is_no_time():
    assert schedule(axes_of("Z", 9), segment=4).parent((4,)) == Parent((0,), moved=False)
    assert schedule(axes_of("TZ", 2, 9), segment=4).parent((0, 4)) == Parent((0, 3), moved=False)


def test_planes_that_follow_are_told_from_those_that_start_from_nothing():
    axes = axes_of("CT", 2, 3)
    assert schedule(axes).kinds == (2, 4)
    assert schedule(axes, done={(0, 0), (1, 0), (1, 1)}).kinds == (0, 3)


def test_what_is_done_is_not_handed_out():
    done = {(0,), (2,)}
    plan = schedule(axes_of("T", 4), done=done)
    assert len(plan) == 2
    assert plan.next() == (1,)
    assert plan.next() == (3,)


def test_the_parent_of_a_plane_that_failed_stands_in():
    failed = {(0,), (2,)}
    plan = schedule(axes_of("T", 4), failed=failed)
    assert plan.parent((3,)) == Parent((1,), moved=True)
    assert plan.parent((1,)) is None


def test_planes_that_are_not_wanted_are_waited_for_by_none():
    axes = axes_of("T", 6)
    plan = schedule(axes, wanted=[(1,), (4,)])
    assert plan.parent((4,)) == Parent((1,), moved=True)
    assert plan.parent((1,)) is None
    done_before = schedule(axes, wanted=[(1,), (4,)], done={(0,), (3,)})
    assert done_before.parent((4,)) == Parent((3,), moved=True)


@given(data=st.data())
def test_every_plane_once_and_parents_first_whatever_the_order_of_finishing(data):
    letters = data.draw(st.sampled_from(["T", "Z", "C", "TZ", "ZT", "CT", "TCZ"]))
    counts = data.draw(st.tuples(*[st.integers(1, 5)] * len(letters)))
    axes = axes_of(letters, *counts)
    segment = data.draw(st.integers(1, 6))
    everything = list(axes.indices())
    wanted = data.draw(st.sets(st.sampled_from(everything), min_size=1))
    bad = data.draw(st.sets(st.sampled_from(everything)))
    room = data.draw(st.integers(1, 4))
    shuffle = data.draw(st.randoms(use_true_random=False))

    def run(room, choose):
        """Paint as a cluster would; return what each plane started from."""
        done, failed, running, parents = set(), set(), [], {}
        plan = schedule(axes, wanted, done, failed, segment)
        while True:
            while len(running) < room and (index := plan.next()) is not None:
                parents_now = plan.parent(index)
                assert index not in parents
                assert parents_now is None or parents_now.index in done
                parents[index] = parents_now
                running.append(index)
            if not running:
                assert not len(plan)
                return parents
            ended = running.pop(choose(len(running)))
            (failed if ended in bad else done).add(ended)

    in_order = run(1, lambda _: 0)
    assert set(in_order) == wanted
    assert run(room, lambda count: random.Random(shuffle.random()).randrange(count)) == in_order


def test_where_a_plane_cannot_be_read_again_its_parent_stands_in():
    axes, done = axes_of("T", 5), {(2,)}
    plan = schedule(axes, done=done)
    assert plan.next() == (0,)
    assert plan.next() == (3,)
    plan.put_back((3,), unreadable=(2,))
    assert plan.parent((3,)) == Parent((1,), moved=True)
    assert plan.next() is None  # until what it starts from is finished
    done |= {(0,)}
    assert plan.next() == (1,)
    done |= {(1,)}
    assert plan.next() == (3,)
