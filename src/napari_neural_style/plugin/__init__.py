"""The napari plugin; napari and Qt are imported only in here."""
