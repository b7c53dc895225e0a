# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Flags for the fields of a config: `--training.epochs 3`, with type, default and help from the dataclass and its docstring."""

import argparse
import inspect
import json
import re
from collections.abc import Collection
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from typing import Any, get_args, get_origin

from ..files import as_json


DESTINATION = "config:"  # prefix of the flags' names in the parsed arguments
TYPE_NAMES = {"int": "INT", "float": "NUMBER", "str": "TEXT", "bool": "BOOL", "list": "A,B,...", "dict": "JSON"}
GROUPS = {  # of the fields of `RunConfig` that are no group themselves; others: "run"
    "auxiliary": "mixture",
    "tasks": "tasks",
    "label_fraction": "tasks",
    **dict.fromkeys(
        ("architecture", "preset", "model", "modalities", "pretrained", "text_encoder", "max_tokens", "normalization"),
        "model",
    ),
}


@dataclass(frozen=True)
class ConfigField:
    """One field of a config, or of a dataclass within it.

    Args:
        name: Dotted name, such as `training.epochs`.
        kinds: Types of its values without None, such as `{"list", "str"}`.
        default: Default as JSON; empty if the field is required.
        help: Its sentence in the docstring of the dataclass.
    """

    name: str
    kinds: frozenset[str]
    default: str
    help: str

    @property
    def group(self) -> str:
        """The title under which `--help` lists the field."""
        top, dot, _ = self.name.partition(".")
        return top if dot else GROUPS.get(top, "run")

    @property
    def type_name(self) -> str:
        """The types of its values, as `--help` shows them."""
        kinds = self.kinds - {"int"} if "float" in self.kinds else self.kinds
        return "|".join(TYPE_NAMES[kind] for kind in TYPE_NAMES if kind in kinds)

    def parse(self, text: str) -> Any:
        """Return the value of a flag: JSON, text, or a list with commas between the items."""
        if self.kinds == {"str"}:
            return None if text == "null" else text
        value = as_json(text)
        if "list" in self.kinds and not self.kinds & {"str", "dict"} and value is not None and type(value) is not list:
            items = as_json(f"[{text}]")
            return items if isinstance(items, list) else [item.strip() for item in text.split(",")]
        return value


def read_argument_help(kind: type) -> dict[str, str]:
    """Return the sentence of every entry in the `Args:` section of a docstring."""
    _, _, section = (inspect.getdoc(kind) or "").partition("\nArgs:\n")
    entries: dict[str, str] = {}
    for line in section.splitlines():
        if line and not line.startswith("    "):  # the next section
            break
        entry = re.match(r"    (\w+): (.*)", line)
        if entry:
            entries[entry[1]] = entry[2]
        elif entries and line.strip():
            name = next(reversed(entries))
            entries[name] += " " + line.strip()
    return entries


def list_config_fields(kind: type, prefix: str = "") -> list[ConfigField]:
    """Return the fields of a config dataclass; those of a dataclass within it by their dotted names."""
    sentences, found = read_argument_help(kind), []
    for each in fields(kind):
        if isinstance(each.type, type) and is_dataclass(each.type):
            found += list_config_fields(each.type, f"{prefix}{each.name}.")
        else:
            kinds = frozenset(_value_kinds(each.type))
            found.append(ConfigField(prefix + each.name, kinds, _default(each), sentences.get(each.name, "")))
    return found


def _value_kinds(kind: Any) -> set[str]:
    if get_origin(kind) in (list, dict):
        return {get_origin(kind).__name__}
    members = set(get_args(kind)) - {type(None)}
    return set().union(*map(_value_kinds, members)) if members else {kind.__name__}


def _default(each: Field) -> str:
    if each.default_factory is not MISSING:
        return json.dumps(each.default_factory())
    return "" if each.default is MISSING else json.dumps(each.default)


def add_config_flags(
    parser: argparse.ArgumentParser, kind: type, without: Collection[str] = (), words: Collection[str] = ()
) -> None:
    """Add a flag for every field of a config, in groups.

    A field that is a dict has one flag per key, such as `--model.encoder`; those in `words` are added.

    Args:
        parser: Parser of the command.
        kind: Dataclass of the config.
        without: Names of fields that get no flag.
        words: The command line.
    """
    usage = parser.format_usage().removeprefix("usage: ").rstrip().replace("%", "%%")
    parser.usage = f"{usage} [--FIELD VALUE ...]"
    groups: dict[str, Any] = {}
    for each in list_config_fields(kind):
        if each.name in without:
            continue
        if each.group not in groups:
            groups[each.group] = parser.add_argument_group(f"config: {each.group}")
        group = groups[each.group]
        help = f"{each.help} (default: {each.default})" if each.default else f"{each.help} (required in the config)"
        shown = {"help": help.replace("%", "%%"), "metavar": each.type_name}
        if "dict" in each.kinds:
            example = f"--{each.name}.{'FIELD' if each.name == 'model' else 'KEY'}"
            keys = {word.partition("=")[0] for word in words if word.startswith(f"--{each.name}.")} - {example}
            for flag in sorted(keys):
                group.add_argument(flag, dest=f"{DESTINATION}{flag[2:]}", metavar="VALUE", help=argparse.SUPPRESS)
            keyed = {"help": f"one entry of {each.name}", "metavar": "VALUE"}
            if each.name == "model":  # `--model` itself is a checkpoint, for every command
                keyed = shown | {"metavar": "VALUE"}
            group.add_argument(example, dest=f"{DESTINATION}{example[2:]}", **keyed)
        if each.name != "model":
            group.add_argument(f"--{each.name}", dest=f"{DESTINATION}{each.name}", **shown)


def read_config_flags(arguments: argparse.Namespace, kind: type) -> dict[str, Any]:
    """Return the fields that were given as flags, by their dotted names, as overrides of a config of this kind."""
    known = {each.name: each for each in list_config_fields(kind)}
    values = {}
    for name, text in typed_config_flags(arguments).items():
        values[name] = known[name].parse(text) if name in known else as_json(text)
    return values


def typed_config_flags(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the fields that were given as flags, as they were typed."""
    return {
        name.removeprefix(DESTINATION): text
        for name, text in vars(arguments).items()
        if name.startswith(DESTINATION) and text is not None
    }


def config_flag_words(arguments: argparse.Namespace) -> list[str]:
    """Return the flags of the fields as words of a command line."""
    return [word for name, text in typed_config_flags(arguments).items() for word in (f"--{name}", text)]
