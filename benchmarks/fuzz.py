"""Thousands of runs with any images and any settings, to find those that end badly.

    python benchmarks/fuzz.py [--count 10000] [--seed 0] [--hours 8] [--journal fuzz.jsonl]
    python benchmarks/fuzz.py --seed 0 --case 123

Each case ends in a picture or in a documented error, or it is a failure: another error, a
picture with NaN or of nothing, a thread or a file that stays, and what ends the process. What
came of each is written to the journal, with which a later call goes on; a process that hangs or
dies is one failure, and the next goes on behind it. The second form plays a case again.
"""

import argparse
import collections
import faulthandler
import json
import random
import re
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

# A worker is replaced after so many cases: by then it would show a leak.
_CASES = 1000
Record = dict[str, Any]


def work(seed: int, start: int, stop: int, patience: float) -> None:
    """Play cases one after the other, and print a line of JSON about each."""
    from tests.transfer.fuzzing import draw_case, play

    process = psutil.Process()
    for number in range(start, stop):
        # Then the process ends, and says where it was.
        faulthandler.dump_traceback_later(patience, exit=True)
        since = time.perf_counter()
        try:
            outcome, failed = play(draw_case(random.Random(f"{seed}/{number}"))), False
        except Exception:
            outcome, failed = traceback.format_exc(), True
        record = {
            "case": number,
            "outcome": outcome,
            "failed": failed,
            "seconds": round(time.perf_counter() - since, 2),
            "megabytes": process.memory_info().rss >> 20,
        }
        print(json.dumps(record), flush=True)


def played(seed: int, start: int, stop: int, patience: float) -> Iterator[Record]:
    """Play cases in processes of their own."""
    while start < stop:
        last = min(stop, start + _CASES)
        arguments = [seed, start, last, patience]
        command = [sys.executable, __file__, "--work", *map(str, arguments)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as worker:
            assert worker.stdout is not None
            assert worker.stderr is not None
            try:
                for line in worker.stdout:
                    yield json.loads(line)
                    start += 1
                said = worker.stderr.read()
            finally:
                worker.kill()
        if start < last:
            outcome = f"The process ended with {worker.returncode}.\n{said}"
            yield {"case": start, "outcome": outcome, "failed": True}
            start += 1


def tell(records: list[Record]) -> None:
    """Print what came of all cases, as a table of Markdown."""
    kinds: collections.Counter[str] = collections.Counter()
    for record in records:
        kinds["failed" if record["failed"] else kind(record["outcome"])] += 1
    print(f"\n| {len(records)} cases | |\n|---|---|")
    for name, count in kinds.most_common():
        print(f"| {name} | {count} |")
    memory = [record["megabytes"] for record in records if "megabytes" in record]
    seconds = [record["seconds"] for record in records if "seconds" in record]
    if memory:
        print(f"\nResident: at most {max(memory)} MB; the slowest case: {max(seconds)} s.")
    for record in records:
        if record["failed"]:
            print(f"\ncase {record['case']}: {record['outcome']}")


def kind(outcome: str) -> str:
    """What outcomes that differ in numbers and values have in common."""
    words = re.sub(r"=[^:]*:", "=…:", outcome, count=1)
    words = re.sub(r"'[^']*'|\d[\d.e+-]*", "…", words)
    return (words if len(words) < 90 else words[:89] + "…").replace("|", "/")


def main() -> None:
    """Play and tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--hours", type=float, default=8)
    parser.add_argument("--patience", type=float, default=300, help="seconds for one case")
    parser.add_argument("--journal", type=Path, default=Path("fuzz.jsonl"))
    parser.add_argument("--case", type=int, help="play this one alone, here")
    parser.add_argument("--work", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        seed, start, stop = map(int, options.work[:3])
        return work(seed, start, stop, float(options.work[3]))
    if options.case is not None:
        from tests.transfer.fuzzing import draw_case, play

        case = draw_case(random.Random(f"{options.seed}/{options.case}"))
        print(case, play(case), sep="\n\n")
        return None
    until = time.monotonic() + options.hours * 3600
    records = []
    if options.journal.exists():
        records = [json.loads(line) for line in options.journal.read_text("utf-8").splitlines()]
    with options.journal.open("a", encoding="utf-8") as journal:
        try:
            for record in played(options.seed, len(records), options.count, options.patience):
                records.append(record)
                print(json.dumps(record), file=journal, flush=True)
                if record["failed"]:
                    print(f"case {record['case']}: {record['outcome'].splitlines()[-1]}")
                if time.monotonic() > until:
                    break
        except KeyboardInterrupt:
            pass
    tell(records)
    return None


if __name__ == "__main__":
    main()
