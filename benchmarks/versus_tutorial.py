"""The PyTorch tutorial as published against ours, on its own objective: loss against time.

    python benchmarks/versus_tutorial.py [--images FOLDER] [--size 512] [--output FOLDER]

Pair by pair and in one process, the literal reference of the tests runs first, then ours
(`OURS` below), on the same two pictures of one size and with the same weights, on the CPU.
The time of a run begins before its network is built; the weights have been read by then,
for both. A picture counts from when it is there: the tutorial's, before its evaluation.
Afterwards one judge (`judge.py`) takes the loss of every kept picture at full size; those
of our smaller scales are enlarged for it. Curves are written after each pair.
"""

import argparse
import importlib
import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple
from unittest.mock import patch

import numpy as np
import ours
import pairs
import torch
from curves import Curve, Image, Recording, judged
from judge import Judge, tutorial_judge
from PIL.Image import fromarray
from plot import draw
from tqdm import tqdm

from napari_neural_style.images import to_uint8
from napari_neural_style.transfer.weights import load_weights

#: Ours: the tutorial's objective, our way down. Scales end at --size.
OURS: Final[Mapping[str, Any]] = {
    "preset": "tutorial",
    "optimizer": "bounded-lbfgs",
    "learning_rate": 0.02,
    "detail": 1.0,
    "scales": (128, 256, 512),
    "steps": (40, 40, 150),
    "precision": "auto",
    "device": "cpu",
}

_ROOT: Final = Path(__file__).parents[1]
_GOAL: Final = 1 / 40
_BELOW_FROM: Final = 2.0
_MARKS: Final = (0.5, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 100, 150, 200, 300, 450, 600)


class Verdict(NamedTuple):
    """What a pair's two curves say."""

    lowest: float
    """The tutorial's lowest loss anywhere in its run."""
    lowest_at: float
    """When it had that, in seconds."""
    whole: float
    """Seconds of its whole run."""
    reached_at: float
    """When ours reached that loss; infinite if never."""
    above_at: float | None
    """The first moment from 2 s on when ours is not below its best so far."""

    @property
    def ratio(self) -> float:
        """Our time to the tutorial's lowest loss, relative to its whole run."""
        return self.reached_at / self.whole


def compare(tutorial: Curve, ours_: Curve) -> Verdict:
    """Judge two curves."""
    best = tutorial.best_so_far()
    lowest = float(best.losses[-1])
    moments = np.unique([_BELOW_FROM, *tutorial.times, *ours_.times])
    above = (t for t in moments if t >= _BELOW_FROM and not ours_.at(t) < best.at(t))
    return Verdict(
        lowest,
        best.reaches(lowest),
        float(tutorial.times[-1]),
        ours_.reaches(lowest),
        next(above, None),
    )


def run_tutorial(
    content: Image,
    style: Image,
    evaluations: int,
    style_weight: float,
) -> tuple[Recording, list[float]]:
    """Run the reference; the image of each evaluation, its end, and its own losses."""
    sys.path.insert(0, str(_ROOT / "tests"))
    tutorial = importlib.import_module("reference.tutorial")
    bar = tqdm(total=evaluations, desc="tutorial")

    class Watched(tutorial.Model):  # type: ignore[name-defined, misc]
        """The reference's model, looked at before each evaluation."""

        def evaluate(self, image: torch.Tensor) -> Any:
            recording.show(lambda: image.detach()[0].permute(1, 2, 0).numpy())
            bar.update()
            return super().evaluate(image)

    weights = load_weights("original", normalize=True)
    recording = Recording()
    with patch.multiple(tutorial, Model=Watched, STYLE_WEIGHT=style_weight), bar:
        run = tutorial.run(content, style, weights, evaluations, torch.float32)
    recording.show(lambda: run.image)
    return recording, [losses["total"] for losses in run.losses]


def judge_tutorial(
    recording: Recording, own: list[float], judge: Judge, every: int
) -> tuple[Curve, float]:
    """Judge the tutorial's run; its curve, and how far its own losses are off at most."""
    lowest = int(np.nanargmin(own))  # must not fall between those judged
    curve = judged(recording, judge, every, "tutorial", also=[lowest])
    claimed = dict(zip(recording.times, own, strict=False))
    pairs_ = [
        (claimed[t], loss)
        for t, loss in zip(curve.times.tolist(), curve.losses.tolist(), strict=True)
        if t in claimed and math.isfinite(loss)
    ]
    return curve, max(abs(ours_ / theirs - 1) for theirs, ours_ in pairs_)


def report(name: str, tutorial: Curve, ours_: Curve) -> None:
    """Print the two curves and the verdict."""
    verdict, best = compare(tutorial, ours_), tutorial.best_so_far()
    print(f"\n{name}\n\n|     s | tutorial's best so far |       ours |\n|---|---|---|")
    for second in (*(mark for mark in _MARKS if mark < verdict.whole), verdict.whole):
        cells = (_number(curve.at(second)) for curve in (best, ours_))
        print(f"| {second:5.4g} | {next(cells):>22} | {next(cells):>10} |")
    print(f"\nThe tutorial's lowest loss: {_number(verdict.lowest)} at {verdict.lowest_at:.1f} s")
    print(f"Its whole run: {verdict.whole:.1f} s")
    if math.isinf(verdict.reached_at):
        print(f"Ours does not reach that; its lowest is {_number(np.nanmin(ours_.losses))}")
    else:
        print(
            f"Ours reaches that at {verdict.reached_at:.2f} s: 1/{1 / verdict.ratio:.1f} of the "
            f"tutorial's whole run ({_kept(verdict.ratio <= _GOAL)}: 1/{1 / _GOAL:.0f})"
        )
    where = "" if verdict.above_at is None else f"; not so at {verdict.above_at:.1f} s"
    print(
        f"Ours below the tutorial's best so far from {_BELOW_FROM:g} s on: "
        f"{_kept(verdict.above_at is None)}{where}",
        flush=True,
    )


def summary(results: Mapping[str, tuple[Curve, Curve]]) -> None:
    """Print a line for each pair."""
    print("\n| pair | tutorial's lowest | its whole run, s | ours there at, s | ratio | below it |")
    print("|---|---|---|---|---|---|")
    for name, curves in results.items():
        verdict = compare(*curves)
        reached, ratio = "never", "–"
        if verdict.reached_at < math.inf:
            reached, ratio = f"{verdict.reached_at:.2f}", f"1/{1 / verdict.ratio:.1f}"
        print(
            f"| {name} | {_number(verdict.lowest)} | {verdict.whole:.1f} "
            f"| {reached} | {ratio} | {_kept(verdict.above_at is None)} |"
        )


def _number(loss: float) -> str:
    return f"{loss:.4g}" if math.isfinite(loss) else "–"


def _kept(goal: bool) -> str:
    return "goal met" if goal else "goal missed"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    pairs.add_options(parser)
    parser.add_argument("--size", type=int, default=512, help="longest side in pixels")
    parser.add_argument("--evaluations", type=int, default=300, help="of the tutorial")
    parser.add_argument("--style-weight", type=float, default=1e6, help="of both")
    parser.add_argument("--every", type=int, default=5, help="judge every so many late pictures")
    parser.add_argument(
        "--tutorial-from",
        type=Path,
        metavar="JSON",
        help="take the tutorial's curves of an earlier run instead of running it",
    )
    parser.add_argument(
        "--output", type=Path, default=_ROOT / "benchmarks" / "results", metavar="FOLDER"
    )
    return parser.parse_args()


def main() -> None:
    """Run, judge, print and write."""
    options = _options()
    task = {name: getattr(options, name) for name in ("size", "evaluations", "style_weight")}
    earlier: dict[str, Any] = {}
    if options.tutorial_from:
        data = json.loads(options.tutorial_from.read_text())
        if data["task"] != task:
            raise SystemExit(f"{options.tutorial_from} is of {data['task']}, not of {task}.")
        earlier = data["pairs"]
    options.output.mkdir(parents=True, exist_ok=True)
    load_weights("original", normalize=True)
    results: dict[str, tuple[Curve, Curve]] = {}
    for name, (full_content, full_style) in pairs.read_pairs(options).items():
        print(name, file=sys.stderr)
        small = pairs.fit(full_content, options.size)
        height, width = small.shape[:2]
        content, style = (
            picture.astype(np.float32) / 255
            for picture in (small, pairs.stretch(full_style, height, width))
        )
        judge = tutorial_judge(content, style, options.style_weight)
        if name in earlier:
            tutorial = Curve.from_json(earlier[name]["tutorial"])
        else:
            recording, own = run_tutorial(content, style, options.evaluations, options.style_weight)
            tutorial, difference = judge_tutorial(recording, own, judge, options.every)
            print(f"The judge is within {difference:.1e} of the tutorial's figures.")
            save(options.output / f"{name}-tutorial.png", recording, int(np.nanargmin(own)))
        recording = Recording()
        settings = {**OURS, "size": options.size, "style_weight": options.style_weight}
        ours.run(content, style, recording, **settings)
        lowest = float(np.nanmin(tutorial.losses))
        result = judged(recording, judge, options.every, "ours", targets=[lowest])
        save(options.output / f"{name}-ours.png", recording, -1)
        results[name] = tutorial, result
        report(name, *results[name])
        write(options.output, task, results)
    summary(results)


def save(path: Path, recording: Recording, index: int) -> None:
    """Write a picture of a recording."""
    fromarray(to_uint8(recording.image(index))).save(path)


def write(
    folder: Path, task: Mapping[str, float], results: Mapping[str, tuple[Curve, Curve]]
) -> None:
    """Write the curves and their plots."""
    data = {
        name: {"tutorial": tutorial.to_json(), "ours": ours_.to_json()}
        for name, (tutorial, ours_) in results.items()
    }
    text = json.dumps({"task": task, "ours": OURS, "pairs": data}, indent=1)
    (folder / "versus_tutorial.json").write_text(text)
    for name, (tutorial, ours_) in results.items():
        shown = {"tutorial": tutorial, "its best so far": tutorial.best_so_far(), "ours": ours_}
        draw(folder / f"{name}.png", name, shown, start=0.2)


if __name__ == "__main__":
    main()
