import os

# A test must neither read the user's napari preferences nor write to them, and napari
# looks at this variable once, when it is imported.
os.environ["NAPARI_CONFIG"] = ""
# So does torch at this one. Images this small are slower with more threads, and the sums of
# several round otherwise than those of the workers of a cluster.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import shutil
import signal
import subprocess
import sys

import pytest
from hypothesis import settings

# How fast a machine is never decides a test.
settings.register_profile("project", deadline=None)
settings.load_profile("project")

# Who runs the tests in the background or with nohup has the programs that they start ignore these.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def own_threads():
    """Let a run that is resumed with its number of threads decide for no other test."""
    yield
    torch = sys.modules.get("torch")
    if hasattr(torch, "set_num_threads"):  # some tests are of one that is broken
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Let the tests, and the programs that they start, remember nothing for the user."""
    folder = str(tmp_path_factory.mktemp("cache"))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("XDG_CACHE_HOME", "WIN_PD_OVERRIDE_LOCAL_APPDATA"):
            patch.setenv(name, folder)
        yield


@pytest.fixture
def disk(tmp_path):
    """A disk of its own, and what mounts it again with other options."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(*options):
        return subprocess.run(["mount", *options, folder], check=False, capture_output=True)

    if not shutil.which("mount") or mount("-t", "tmpfs", "-o", "size=100k", "tmpfs").returncode:
        pytest.skip("only the administrator of a Linux machine can mount disks")
    yield folder, lambda options: mount("-o", f"remount,{options}")
    subprocess.run(["umount", folder], check=True)
