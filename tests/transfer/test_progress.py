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
