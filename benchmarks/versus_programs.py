"""Ours against the programs that pip installs: time to a picture as good, by a neutral judge.

    python benchmarks/versus_programs.py [--images FOLDER] [--size 512] [--limit SECONDS]
        [--programs pastiche neural-style pystiche] [--python PROGRAM=INTERPRETER ...]

A program runs in a process of its own, on the CPU, as its documentation says and with its
own defaults, on two PNG files whose longest sides are --size. ``--python`` names the
interpreter of the environment where it is installed; it is this one otherwise. What it
saves at its end, or last before --limit, is judged by Gatys' objective (`judge.py`); its
time is that of the whole command until then. Ours runs with ``preset="default"``, also in a
process of its own and timed from that process's start, and every picture of it is judged.

Where a program would download weights it is given a file of the original ones instead:
that is what ``neural-style`` downloads; ``pystiche`` downloads torchvision's, whose scale
the file's have.
"""

import argparse
import json
import math
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import ours
import pairs
import torch
from curves import Curve, Image, judged
from judge import gatys_judge
from PIL.Image import fromarray
from PIL.Image import open as open_image
from plot import draw

from napari_neural_style.images import to_uint8
from napari_neural_style.transfer.weights import load_weights

_HERE: Final = Path(__file__).parent
_GOAL: Final = 1 / 10

_ORIGINAL: Final = "original.pth"  # RGB normalised as torchvision's
_CAFFE: Final = "vgg19.pth"  # BGR, 0-255, mean subtracted; neural-style goes by the name

# pystiche is a library: its guide's first example, with its numbers.
_PYSTICHE: Final = f"""
import sys
import torch
from pystiche import enc, loss, optim
from pystiche.image import read_image, write_image

size, steps = int(sys.argv[1]), int(sys.argv[2])
encoder = enc.vgg19_multi_layer_encoder(pretrained=False)
encoder.load_state_dict(torch.load("{_ORIGINAL}"), framework="torch")
layers = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
criterion = loss.PerceptualLoss(
    loss.FeatureReconstructionLoss(encoder.extract_encoder("relu4_2"), score_weight=1e0),
    loss.MultiLayerEncodingLoss(
        encoder,
        layers,
        lambda one, weight: loss.GramLoss(one, score_weight=weight),
        score_weight=1e3,
    ),
)
content, style = (read_image(name) for name in ("content.png", "style.png"))
criterion.set_content_image(content)
criterion.set_style_image(style)
write_image(optim.image_optimization(content.clone(), criterion, num_steps=steps), "out.png")
"""


@dataclass(frozen=True)
class Program:
    """How a program is called in a folder with ``content.png`` and ``style.png``.

    In the words, ``{size}`` and ``{steps}`` stand for numbers; the result is ``out.png``.
    """

    words: tuple[str, ...]
    steps: int
    """Its default, given to it explicitly."""
    saves: str = "out.png"
    """Pattern of all the files that it saves pictures to."""
    remark: str = ""


PROGRAMS: Final[Mapping[str, Program]] = {
    "pastiche": Program(
        (
            *("-m", "pastiche", "--content", "content.png", "--styles", "style.png"),
            *("--output", "out.png", "--size", "{size}", "--num-steps", "{steps}"),
            *("--device", "cpu", "--workspace", "saved", "--workspace-step", "50"),
        ),
        steps=1000,
        saves="saved/*.png",
    ),
    "neural-style": Program(
        (
            *("-m", "neural_style.neural_style", "-content_image", "content.png"),
            *("-style_image", "style.png", "-output_image", "out.png", "-image_size", "{size}"),
            *("-num_iterations", "{steps}", "-gpu", "c", "-model_file", _CAFFE),
            "-disable_check",  # the file has no classifier
        ),
        steps=1000,
        saves="out*.png",
        remark="weights given",
    ),
    "pystiche": Program(
        ("-c", _PYSTICHE, "{size}", "{steps}"), steps=500, remark="its example; weights given"
    ),
}


@dataclass
class Outcome:
    """What became of a program: a picture after some seconds, or none and why."""

    seconds: float
    picture: Image | None
    remark: str
    loss: float = math.nan
    reached_at: float = math.inf
    """When ours is as good, in seconds."""

    @property
    def ratio(self) -> float:
        """Our time to a picture as good, relative to the program's."""
        return self.reached_at / self.seconds


def run(
    program: Program, python: str, folder: Path, size: int, steps: int | None, limit: float | None
) -> Outcome:
    """Run a program to its end or the limit."""
    steps = steps or program.steps
    words = [word.replace("{size}", str(size)) for word in program.words]
    command = [python, *(word.replace("{steps}", str(steps)) for word in words)]
    started, clock = time.time(), time.perf_counter()
    with (folder / "log.txt").open("w+") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
        try:
            status: int | None = process.wait(limit)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            process.kill()
            process.wait()
        seconds = time.perf_counter() - clock
        if status is None:
            return _last_saved(program, folder, started)
        if status:
            log.seek(0)
            lines = [line.strip() for line in log if line.strip()]
            error = lines[-1] if lines else f"it ended with status {status}"
            return Outcome(math.nan, None, re.sub(r" \(/.*\)$", "", error))  # no local paths
    return Outcome(seconds, _read(folder / "out.png"), program.remark)


def _last_saved(program: Program, folder: Path, started: float) -> Outcome:
    """What a stopped program had saved: its last whole picture counts."""
    saved = sorted(folder.glob(program.saves), key=lambda file: file.stat().st_mtime)
    for file in reversed(saved):
        try:
            picture = _read(file)
        except OSError:  # cut off while it was written
            continue
        remark = f"stopped; its last picture, {file.name}"
        remark += f"; {program.remark}" if program.remark else ""
        return Outcome(file.stat().st_mtime - started, picture, remark)
    return Outcome(math.nan, None, "no picture within the limit")


def _read(file: Path) -> Image:
    return np.asarray(open_image(file).convert("RGB"), np.float32) / 255


def lay_out(folder: Path, content: pairs.Picture, style: pairs.Picture) -> None:
    """Put the two pictures and the weights into a folder, as the programs want them."""
    fromarray(content).save(folder / "content.png")
    fromarray(style).save(folder / "style.png")
    torch.save(load_weights("original", normalize=True), folder / _ORIGINAL)
    weights = load_weights("original")
    first, bias = weights["features.0.weight"].double(), weights["features.0.bias"].double()
    std, mean = (
        torch.tensor(values, dtype=torch.float64).view(1, 3, 1, 1)
        for values in ((0.229, 0.224, 0.225), (0.485, 0.456, 0.406))
    )
    caffe_mean = torch.tensor((123.68, 116.779, 103.939), dtype=torch.float64).view(1, 3, 1, 1)
    first = first / (255 * std)
    bias = bias - (first * (255 * mean - caffe_mean)).sum((1, 2, 3))
    weights |= {"features.0.weight": first.flip(1).float(), "features.0.bias": bias.float()}
    torch.save(weights, folder / _CAFFE)


def compare(
    content: pairs.Picture, style: pairs.Picture, options: argparse.Namespace
) -> tuple[dict[str, Outcome], Curve, Image]:
    """Run every program, then ours; what became of each, our curve and our picture."""
    judge = gatys_judge(content / np.float32(255), style / np.float32(255))
    outcomes: dict[str, Outcome] = {}
    with tempfile.TemporaryDirectory() as name:
        for program in options.programs:
            print(f"  {program}", file=sys.stderr, flush=True)
            folder = Path(name, program)
            folder.mkdir()
            lay_out(folder, content, style)
            python = options.python.get(program, sys.executable)
            outcome = outcomes[program] = run(
                PROGRAMS[program], python, folder, options.size, options.steps, options.limit
            )
            if outcome.picture is not None:
                outcome.loss = judge(outcome.picture)
        print("  ours", file=sys.stderr, flush=True)
        files = [str(folder / file) for file in ("content.png", "style.png", "ours.npz")]
        subprocess.run([sys.executable, str(_HERE / "ours.py"), *files], check=True)
        recording = ours.load(files[-1])
    targets = [outcome.loss for outcome in outcomes.values()]
    curve = judged(recording, judge, options.every, "ours", targets=targets)
    for outcome in outcomes.values():
        outcome.reached_at = curve.reaches(outcome.loss)
    return outcomes, curve, recording.image(-1)


def report(name: str, outcomes: Mapping[str, Outcome], curve: Curve) -> None:
    """Print a pair's table."""
    print(f"\n{name}\n\n| program | s | neutral loss | ours there at, s | ratio | goal | |")
    print("|---|---|---|---|---|---|---|")
    for program, outcome in outcomes.items():
        if outcome.picture is None:
            print(f"| {program} | – | – | – | – | – | {outcome.remark} |")
            continue
        there, ratio = "never", "–"
        if outcome.reached_at < math.inf:
            there, ratio = f"{outcome.reached_at:.2f}", f"1/{1 / outcome.ratio:.1f}"
        goal = "met" if outcome.ratio <= _GOAL else "missed"
        print(
            f"| {program} | {outcome.seconds:.1f} | {outcome.loss:.4g} | {there} | {ratio} "
            f"| {goal} | {outcome.remark} |"
        )
    best = curve.best_so_far().losses[-1]
    print(
        f"| ours, `default` | {curve.times[-1]:.1f} | {curve.losses[-1]:.4g} | | | "
        f"| lowest {best:.4g} |",
        flush=True,
    )


def write(folder: Path, name: str, outcomes: Mapping[str, Outcome], curve: Curve) -> None:
    """Write a pair's plot."""
    points = {
        program: Curve(np.array([outcome.seconds]), np.array([outcome.loss]))
        for program, outcome in outcomes.items()
        if outcome.picture is not None
    }
    draw(folder / f"{name}-programs.png", name, {"ours": curve, **points}, start=1.0)


def _interpreter(text: str) -> tuple[str, str]:
    program, _, path = text.partition("=")
    if program not in PROGRAMS or not path:
        raise argparse.ArgumentTypeError(f"{text!r} is not PROGRAM=INTERPRETER")
    return program, path


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    pairs.add_options(parser)
    parser.add_argument("--size", type=int, default=512, help="longest side in pixels")
    parser.add_argument("--programs", nargs="+", choices=PROGRAMS, default=list(PROGRAMS))
    parser.add_argument(
        "--python",
        type=_interpreter,
        nargs="+",
        action="extend",
        default=[],
        metavar="PROGRAM=INTERPRETER",
        help="interpreter of the environment where a program is installed",
    )
    parser.add_argument("--limit", type=float, metavar="SECONDS", help="for each program")
    parser.add_argument("--steps", type=int, help="of each program; its own number by default")
    parser.add_argument("--every", type=int, default=5, help="judge every so many late pictures")
    parser.add_argument("--output", type=Path, default=_HERE / "results", metavar="FOLDER")
    options = parser.parse_args()
    options.python = dict(options.python)
    return options


def main() -> None:
    """Run, judge, print and write."""
    options = _options()
    options.output.mkdir(parents=True, exist_ok=True)
    data: dict[str, Any] = {}
    for name, (full_content, full_style) in pairs.read_pairs(options).items():
        print(name, file=sys.stderr)
        content = pairs.fit(full_content, options.size)
        style = pairs.fit(full_style, options.size)
        outcomes, curve, picture = compare(content, style, options)
        report(name, outcomes, curve)
        write(options.output, name, outcomes, curve)
        shown = {"ours-default": picture} | {
            program: outcome.picture
            for program, outcome in outcomes.items()
            if outcome.picture is not None
        }
        for who, image in shown.items():
            fromarray(to_uint8(image)).save(options.output / f"{name}-{who}.png")
        data[name] = {"ours": curve.to_json()}
        for program, outcome in outcomes.items():
            data[name][program] = {"remark": outcome.remark}
            if outcome.picture is not None:
                data[name][program] |= {"seconds": outcome.seconds, "loss": outcome.loss}
        task = {"size": options.size, "steps": options.steps, "limit": options.limit}
        text = json.dumps({"task": task, "pairs": data}, indent=1)
        (options.output / "versus_programs.json").write_text(text)


if __name__ == "__main__":
    main()
