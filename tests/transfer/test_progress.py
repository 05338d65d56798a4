from napari_neural_style.transfer.progress import Progress
from napari_neural_style.transfer.scales import Scale


def progress():
    return Progress([Scale(16, 20, 2), Scale(24, 30, 0), Scale(32, 40, 1)])


def test_steps_are_counted_scale_by_scale():
    run = progress()
    seen = []
    while not run.finished:
        if run.upcoming != run.scale:
            run.enter(run.upcoming)
        run.count()
        seen.append((run.step, run.scale, run.scale_step, run.scale_ends))
    assert seen == [(1, 0, 1, False), (2, 0, 2, True), (3, 2, 1, True)]
    assert run.steps_made == [2, 0, 1]
    assert run.upcoming == 3


def test_the_plan_is_of_the_present_scale_and_those_to_come():
    run = progress()
    run.count()
    run.plan_steps((1,))
    assert run.steps == (1, 0, 1)
    assert run.scale_ends
    run.enter(2)
    run.plan_steps((5,))
    assert run.steps == (1, 0, 5)
    assert run.shapes == ((16, 20), (24, 30), (32, 40))


def test_it_goes_on_from_its_state():
    run, again = progress(), progress()
    run.count()
    run.plan_steps((4, 3, 2))
    again.load(run.state())
    assert again.state() == run.state()
    assert again.plan == run.plan


def test_it_goes_on_though_there_is_time_for_ever():
    one, other = progress(), progress()
    one.plan_steps((10**30,) * 3)
    other.load(one.state())
    assert other.steps == one.steps


def test_another_plan_goes_on_where_it_is():
    run = Progress([Scale(16, 20, 2), Scale(24, 30, 2), Scale(32, 40, 6)])
    for _ in range(3):
        if run.upcoming != run.scale:
            run.enter(run.upcoming)
        run.count()
    assert (run.scale, run.scale_step) == (1, 1)
    longer = run.replanned([s._replace(steps=5) for s in run.plan], total=20)
    assert longer.steps == (2, 5, 13)
    assert (longer.total, longer.step, longer.scale, longer.scale_step) == (20, 3, 1, 1)
    shorter = run.replanned([s._replace(steps=1) for s in run.plan], total=3)
    assert shorter.steps == (2, 1, 1)
    assert shorter.upcoming == 2
    larger = run.replanned([Scale(20, 25, 4), Scale(28, 35, 4), Scale(56, 70, 4)], total=12)
    assert larger.steps == (0, 4, 5)
    assert (larger.upcoming, larger.scale_step, larger.total) == (1, 0, 12)
    smaller = run.replanned([Scale(8, 10, 4), Scale(16, 20, 4)], total=None)
    assert smaller.steps_made == [0, 0]
    assert (smaller.upcoming, smaller.total) == (1, 7)
    assert run.steps == (2, 2, 6)


def test_a_picture_of_full_size_grows_at_once_when_a_larger_one_is_asked_for():
    small, middle, large = (Scale(16 * n, 20 * n, 9) for n in (1, 2, 4))
    run = Progress([small, middle])
    run.enter(1)
    run.count()
    larger = run.replanned([small, middle, large], total=30)
    assert larger.scale == 2
    assert larger.steps[1:] == (1, 29)
    run = Progress([small, middle])
    run.count()
    assert run.replanned([small, middle, large], total=None).scale == 0


def test_what_is_done_does_not_jump_when_more_is_planned():
    run = Progress([Scale(32, 40, 10)])
    for _ in range(8):
        run.count()
    assert run.done == 0.8
    longer = run.replanned([Scale(32, 40, 40)], total=40)
    assert longer.done == 0.8
    done = []
    while not longer.finished:
        longer.count()
        done.append(longer.done)
    assert done == sorted(done)
    assert done[-1] == 1
    longer.forget_done()
    assert longer.replanned([Scale(32, 40, 80)], total=80).done == 1
    again = run.replanned([Scale(16, 20, 40)], total=40)
    assert again.done == 8 / 48


def test_there_is_nothing_to_go_on_from_before_the_first_step():
    plan = [Scale(16, 20, 4), Scale(32, 40, 4)]
    assert progress().replanned(plan, total=30).plan == plan
