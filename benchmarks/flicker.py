"""Flicker of a stylized time series: every plane on its own, and as a stack.

    python benchmarks/flicker.py [--size 192] [--planes 10] [--style impasto] [--segment 16]
                                 [--save FILE.npz]

Flicker is the mean absolute difference of successive results along the motion, divided by
the same for the contents. The sequence is synthetic: fluorescent cells that deform, some
that travel over the others, a camera that drifts, and its noise. Sharpness tells whether
the style fades along the chain: the mean gradient of the last plane over that of the first.
"""

import argparse
import itertools
import time
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_neural_style import StackTransfer, StyleTransfer
from napari_neural_style.artwork import ARTWORKS, draw
from napari_neural_style.artwork.fluorescence import expose
from napari_neural_style.images import to_rgb, to_uint8
from napari_neural_style.stacks.motion import optical_flow, warp

Images = list[npt.NDArray[np.float32]]

_CELLS = 6


def sequence(size: int, planes: int, seed: int = 0) -> npt.NDArray[np.uint16]:
    """Counts of a camera, (planes, size, size), of moving cells."""
    rng = np.random.default_rng(seed)
    nuclei, actin, _ = (
        ndimage.gaussian_filter(channel.astype(np.float32), 0.7) - 100
        for channel in expose(2 * size, rng)
    )
    grid = np.indices((size, size), np.float32)
    noise = rng.normal(size=(2, size, size))
    bend = np.stack([ndimage.gaussian_filter(part, size / 8) for part in noise])
    velocity = bend / np.abs(bend).max() * size / 120
    velocity += np.array([size / 150, -size / 200])[:, None, None]
    starts = rng.uniform(0.2, 0.8, (_CELLS, 2)) * size
    speeds = rng.normal(0, size / 80, (_CELLS, 2))
    bodies = rng.uniform(0.3, 1.7, (_CELLS, 2)) * size
    counts = []
    for t in range(planes):
        places = grid + size / 2 + t * velocity
        emitters = ndimage.map_coordinates(actin + 0.3 * nuclei, places, order=1)
        for start, speed, body in zip(starts, speeds, bodies, strict=True):
            off = grid - (start + t * speed)[:, None, None]
            cell = ndimage.map_coordinates(actin, body[:, None, None] + off, order=1, mode="wrap")
            emitters = np.where(np.hypot(*off) < size / 14, 1.5 * cell + 250, emitters)
        counts.append(rng.poisson(np.maximum(emitters, 0) + 10) + 100)
    return np.array(counts, np.uint16)


def unsteadiness(images: Images, contents: Images) -> float:
    """Mean absolute difference of successive images along the motion of the contents."""
    differences = [
        np.abs(warp(a, optical_flow(before, after)) - b).mean()
        for (a, b), (before, after) in zip(
            itertools.pairwise(images), itertools.pairwise(contents), strict=True
        )
    ]
    return float(np.mean(differences))


def sharpness(image: npt.NDArray[np.float32]) -> float:
    """Mean gradient of the lightness."""
    return float(np.hypot(*np.gradient(image.mean(-1))).mean())


def each_alone(contents: Images, style: npt.NDArray[np.uint8], preset: str) -> tuple[Images, int]:
    """Results, and steps in all, of a run for each plane."""
    results, steps = [], 0
    for content in contents:
        transfer = StyleTransfer(content, style, preset, device="cpu")
        results.append(to_uint8(transfer.run()) / np.float32(255))
        steps += transfer.total
    return results, steps


def as_stack(
    stack: npt.NDArray[np.uint16], style: npt.NDArray[np.uint8], preset: str, segment: int
) -> tuple[Images, int]:
    """Results, and steps in all, of a run of the whole stack."""
    options = {"client": "here", "preset": preset, "device": "cpu", "segment": segment}
    transfer = StackTransfer(stack, style, "TYX", **options)
    steps = sum(update.finished is None for update in transfer)
    return list(transfer.result[:] / np.float32(255)), steps


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--planes", type=int, default=10)
    parser.add_argument("--preset", default="default")
    parser.add_argument("--style", default="impasto", choices=ARTWORKS)
    parser.add_argument("--segment", type=int, default=16, help="As for StackTransfer.")
    parser.add_argument("--save", metavar="FILE.npz", help="Keep the pictures.")
    options = parser.parse_args()
    stack = sequence(options.size, options.planes)
    style = draw(options.style, 256)
    limits = float(stack.min()), float(stack.max())
    contents: Images = [to_rgb(plane, "plane", limits) for plane in stack]
    still = unsteadiness(contents, contents)
    pictures = {"contents": contents}
    print("planes     flicker    steps/plane    s/plane    sharpness, last/first")
    for name, (run, planes) in {
        "alone": (each_alone, contents),
        "as stack": (partial(as_stack, segment=options.segment), stack),
    }.items():
        start = time.perf_counter()
        results, steps = run(planes, style, options.preset)
        seconds = time.perf_counter() - start
        pictures[name.replace(" ", "_")] = results
        print(
            f"{name:8s} {unsteadiness(results, contents) / still:9.2f}"
            f" {steps / options.planes:14.1f} {seconds / options.planes:10.1f}"
            f" {sharpness(results[-1]) / sharpness(results[0]):24.2f}"
        )
    if options.save:
        np.savez(options.save, **{name: np.array(images) for name, images in pictures.items()})


if __name__ == "__main__":
    main()
