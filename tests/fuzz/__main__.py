"""Runs the kinds in turn until the time is over or one fails; see `tests/fuzz/__init__.py`."""

import argparse
import faulthandler
import logging
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

from tests.fuzz import KINDS, half_finished_runs, model_folders, pictures, texts  # noqa: F401 - the modules register their kinds

LONGEST = 60  # seconds for a case: more is a hang


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long to go on")
    parser.add_argument("--cases", type=int, help="how many cases at most")
    parser.add_argument("--only", nargs="+", choices=sorted(KINDS), help="kinds to run (default: all)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="seed of the first case (default: the time)")
    parser.add_argument("--keep_going", action="store_true", help="count findings instead of stopping at the first")
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> int:
    kinds = args.only or list(KINDS)
    ends, seed, done, findings = time.monotonic() + args.seconds, args.seed, Counter(), 0
    while time.monotonic() < ends and (args.cases is None or sum(done.values()) < args.cases):
        name = kinds[sum(done.values()) % len(kinds)]
        again = f"python -m tests.fuzz --only {name} --seed {seed} --cases 1"
        faulthandler.dump_traceback_later(LONGEST, exit=True, file=sys.__stderr__)
        try:
            with tempfile.TemporaryDirectory() as folder:
                KINDS[name](np.random.default_rng(seed), Path(folder))
        except Exception:
            findings += 1
            traceback.print_exc(limit=-6)
            print(f"\nFOUND by {name}: {again}\n", file=sys.stderr)
            if not args.keep_going:
                return 1
        finally:
            faulthandler.cancel_dump_traceback_later()
        done[name] += 1
        seed += 1
    print(", ".join(f"{count} of {name}" for name, count in done.items()) + f"; {findings} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    sys.exit(main(parse_args()))
