"""The pages of a TIFF file, looked at before they are read."""

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tifffile import TiffFile


def check_pages(file: "TiffFile") -> None:
    """Raise a ``ValueError`` if pages lead in a circle, which tifffile would follow for ever."""
    handle, form = file.filehandle, file.tiff
    offset, seen = file.pages.first.offset, set[int]()
    while offset and offset not in seen:
        seen.add(offset)
        try:
            handle.seek(offset)
            (tags,) = struct.unpack(form.tagnoformat, handle.read(form.tagnosize))
            handle.seek(offset + form.tagnosize + tags * form.tagsize)
            (offset,) = struct.unpack(form.offsetformat, handle.read(form.offsetsize))
        except struct.error:  # the file is torn, as tifffile will see
            return
    if offset:
        raise ValueError("its pages lead in a circle")
