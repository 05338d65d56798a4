"""How the threads of a step wait for each other."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere torch has another OpenMP"
)


def shown(**environment):
    """What GNU's OpenMP says of itself when the engine is imported."""
    unset = {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}
    rest = {name: value for name, value in os.environ.items() if name not in unset}
    environment = {**rest, **environment, "OMP_DISPLAY_ENV": "VERBOSE"}
    engine = "from napari_neural_style import StyleTransfer"
    command = [sys.executable, "-c", engine]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    lines = (line.partition(" = ") for line in run.stderr.splitlines())
    return {name.split()[-1]: value.strip("'") for name, _, value in lines if name.split()}


def test_threads_do_not_wait_long_for_one_that_another_program_holds_up():
    assert shown()["GOMP_SPINCOUNT"] == "5000"


def test_what_the_user_has_chosen_stays():
    assert shown(GOMP_SPINCOUNT="123")["GOMP_SPINCOUNT"] == "123"
    assert shown(OMP_WAIT_POLICY="PASSIVE")["OMP_WAIT_POLICY"] == "PASSIVE"
    assert shown(OMP_WAIT_POLICY="PASSIVE")["GOMP_SPINCOUNT"] != "5000"
