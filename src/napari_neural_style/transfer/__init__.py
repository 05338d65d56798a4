"""The engine: neural style transfer on torch, without Qt or napari."""
