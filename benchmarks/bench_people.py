"""Measures what is concluded from label maps about people, on drawn ones that no training used.

    python -m benchmarks.bench_people --model builtin --crowds 60 --people 200

Crowds of two to four, half of them touching: how often the number of people is right, and how often the largest person
and each person by number are found (IoU 0.6 or more with the truth). Try-on's check of product pictures: how many
photos of somebody it refuses, and how many product pictures by mistake. A row goes to benchmarks/results/people.jsonl.
"""

import argparse
from typing import TYPE_CHECKING

import command_line
from builtin_training.cases import HELD_OUT_SEEDS
from temu_vtoff.builtin import BUILTIN

if TYPE_CHECKING:
    import numpy as np

    from temu_vtoff.segmentation.segmenter import ClothSegmenter

FOUND = 0.6  # IoU from which a person counts as found
COUNTS = (2, 3, 4)  # people in a crowd


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    add = parser.add_argument
    add("--model", default=BUILTIN, help="SegFormer: folder, hub id or builtin")
    add("--crowds", type=command_line.positive, default=60, help="number of crowds")
    add("--people", type=command_line.positive, default=200, help="number of photos, and of product pictures")
    add("--device", help="cpu, cuda, cuda:1 or mps; default: the best available")
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    command_line.quiet_libraries()
    from benchmarks.measuring import write_row
    from temu_vtoff.hardware.devices import choose_device
    from temu_vtoff.segmentation.segmenter import ClothSegmenter

    segmenter = ClothSegmenter.from_pretrained(args.model, choose_device(args.device))
    row = {"model": args.model, "crowds": args.crowds, "people": args.people}
    row |= crowd_rates(segmenter, args.crowds) | garment_rates(segmenter, args.people)
    print("\n".join(f"{name}: {value}" for name, value in row.items()))
    write_row("people", row)


def crowd_rates(segmenter: "ClothSegmenter", crowds: int) -> dict[str, float]:
    """Shares of crowds and of their people; of crowds apart and touching."""
    import numpy as np

    from drawn_people.crowd import draw_crowd
    from temu_vtoff.segmentation.people import one_person

    rows: dict[str, list[list[float]]] = {"apart": [], "touching": []}
    for seed in command_line.progress(range(crowds), "crowds"):
        kind = ("apart", "touching")[seed // len(COUNTS) % 2]
        count = COUNTS[seed % len(COUNTS)]
        crowd = draw_crowd(HELD_OUT_SEEDS + seed, count, overlapping=kind == "touching", layers=seed % 4 == 3)
        truths = [np.asarray(one) > 0 for one in crowd.label_maps]
        label_map = segmenter.label_maps([crowd.photo])[0]
        found = one_person(label_map, segmenter.labels)
        largest = max(truths, key=np.sum)
        alone = [one_person(label_map, segmenter.labels, n + 1).label_map for n in range(min(count, found.count))]
        named = sum(_is_found(one, truth) for one, truth in zip(alone, truths, strict=False)) / count
        rows[kind].append([found.count == count, _is_found(found.label_map, largest), named])
    rows["crowds"] = rows["apart"] + rows["touching"]
    means = {kind: np.mean(some, 0).round(3).tolist() for kind, some in rows.items() if some}
    names = ("number_right", "largest_found", "each_found")
    return {
        f"{kind}_{name}": value for kind, values in means.items() for name, value in zip(names, values, strict=True)
    }


def garment_rates(segmenter: "ClothSegmenter", people: int) -> dict[str, float]:
    """The shares of photos of somebody, and of the product pictures of what they wear, that try-on's check refuses."""
    from drawn_people import CATEGORIES, draw_person
    from temu_vtoff.errors import ArgumentError
    from temu_vtoff.stages.fitting_room import check_no_person

    refused = dict.fromkeys(("photos_refused", "products_refused"), 0)
    for number in command_line.progress(range(people), "people"):
        category = CATEGORIES[number % len(CATEGORIES)]
        person = draw_person(HELD_OUT_SEEDS + number, category)
        pictures = [person.photo, person.garments[category].product]
        for name, label_map in zip(refused, segmenter.label_maps(pictures), strict=True):
            try:
                check_no_person(label_map, segmenter.labels)
            except ArgumentError:
                refused[name] += 1
    return {name: round(count / people, 3) for name, count in refused.items()}


def _is_found(label_map: "np.ndarray", truth: "np.ndarray") -> bool:
    found = label_map > 0
    return (found & truth).sum() >= FOUND * (found | truth).sum()


if __name__ == "__main__":
    command_line.run(main, parse_args())
