"""The machine that this runs on."""

import functools
import platform
import re
from pathlib import Path
from typing import Final

NOT_ENOUGH_MEMORY: Final = (
    "There is not enough memory for this run: close other programs, or choose a smaller size or "
    "the device CPU."
)


def out_of_memory(error: MemoryError) -> str:
    """Return what to tell the user: our own errors say the way out, others do not."""
    text = str(error)
    ours = type(error) is MemoryError and text.endswith(".")  # "std::bad_alloc" is torch's
    return text if ours else NOT_ENOUGH_MEMORY


@functools.cache
def processor() -> str:
    """Name the processor, as exactly as the system does."""
    cpuinfo = Path("/proc/cpuinfo")  # platform.processor() is empty on most Linux systems
    if not cpuinfo.is_file():
        return platform.processor() or platform.machine()
    first, _, _ = cpuinfo.read_text("utf-8", "replace").partition("\n\n")
    facts = dict(re.findall(r"^([^\t:]+?)\s*: *(.+)$", first, re.MULTILINE))
    name = facts.get("model name") or platform.machine()
    # A virtual machine's name for it can be anything.
    numbers = [f"{key} {facts[key]}" for key in ("cpu family", "model", "stepping") if key in facts]
    return f"{name} ({', '.join(numbers)})" if numbers else name
