import os

# A test must neither read the user's napari preferences nor write to them, and napari
# looks at this variable once, when it is imported.
os.environ["NAPARI_CONFIG"] = ""

from hypothesis import settings

# How fast a machine is never decides a test.
settings.register_profile("project", deadline=None)
settings.load_profile("project")
