# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`mm-affect card` and `mm-affect reproduce`."""

from pathlib import Path

from .console import as_json


def add_card_commands(commands) -> None:
    """Add the commands to the parser of `mm-affect`."""
    card = commands.add_parser("card", help="write card and plots of a run again, from its results.json")
    card.add_argument("folder", type=Path, help="output folder of a run")
    card.add_argument(
        "--hub-dataset",
        metavar="ORG/NAME",
        help="the Hub's data set that the run was tested on; its scores are then reported to it, in .eval_results",
    )
    card.set_defaults(run=write_run_card)

    again = commands.add_parser(
        "reproduce",
        help="train a published card again and compare",
        description="Train again what a card publishes, on its data, and compare every primary metric per seed and over seeds. "
        "The exit code is 1 if one of them is not reproduced.",
    )
    again.add_argument("card", help="folder with a results.json, or the model's name on the Hub")
    again.add_argument(
        "--data",
        metavar="FOLDER",
        help="folder of its rows, default that of the card's config; of a card that a program in benchmarks/ made, the folder "
        "of the real data, default MM_AFFECT_REALDATA, or ../shared/realdata beside the checkout",
    )
    again.add_argument("--seeds", metavar="'[0, 1]'", help="only these seeds; default: those of the card")
    again.add_argument("--all", action="store_true", help="show every metric, not the primary ones alone")
    again.add_argument(
        "--output", type=Path, metavar="FOLDER", help="keep what is trained there; default: a temporary folder"
    )
    again.set_defaults(run=reproduce_card)


def write_run_card(arguments) -> None:
    """`mm-affect card`."""
    from huggingface_hub.utils import validate_repo_id

    from .experiments import publish
    from .results import read_results, write_results
    from .selection import best_of

    if arguments.hub_dataset is not None:
        validate_repo_id(arguments.hub_dataset)
        results = read_results(arguments.folder / "results.json")
        results["corpus"]["hub_dataset"] = arguments.hub_dataset
        write_results(arguments.folder / "results.json", results)
    publish(arguments.folder, best_of(arguments.folder))
    print(f"Card: {arguments.folder / 'README.md'}")


def reproduce_card(arguments) -> int:
    """`mm-affect reproduce`; 1 if a primary metric is not reproduced."""
    from . import reproduce

    card, seeds = reproduce.card_results(arguments.card), seeds_of(arguments.seeds)
    here = reproduce.reproduce(card, arguments.output, arguments.data, seeds)
    lines = reproduce.compare(card, here, arguments.all)
    print(f"\n{card['name']}, {card['corpus']['name']}, published {card['date']}: test split, all modalities\n")
    print(reproduce.in_words(lines))
    print(f"\n{reproduce.hash_in_words(card['corpus'], here['corpus'])}")
    differing = reproduce.other_circumstances(card, here)
    print(f"\nNot as when it was made: {'; '.join(differing) or 'nothing'}.\n\n{reproduce.RULE}\n")
    succeeded = reproduce.reproduced(card, lines)
    print(f"{card['name']} is {'reproduced' if succeeded else 'NOT reproduced'}.")
    return int(not succeeded)


def seeds_of(text: str | None) -> list[int] | None:
    """Seeds as typed: a number, several after commas, or a JSON list."""
    if text is None:
        return None
    seeds = as_json(text if text.lstrip().startswith("[") else f"[{text}]")
    if not isinstance(seeds, list) or not seeds or not all(type(seed) is int and seed >= 0 for seed in seeds):
        raise ValueError(f"--seeds is {text}; expected whole numbers from 0, such as 0,1.")
    return seeds
