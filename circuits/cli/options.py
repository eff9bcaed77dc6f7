"""Types of options that several commands share, and how tyro reads and shows an option that may be left out."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Union, get_args

from rich.console import Console
from tyro.conf import Positional, arg
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

OPTIONAL = arg(help_behavior_hint="")
"""For an option without a default value: its help says in words what happens without it."""
Checkpoint = Annotated[Positional[str], arg(metavar="CHECKPOINT")]
OtherCheckpoint = Annotated[str | None, arg(metavar="CHECKPOINT", help_behavior_hint="")]
RunFolder = Annotated[Positional[Path], arg(metavar="RUN")]
Folder = Annotated[Path, arg(metavar="DIR")]
File = Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")]
Integer = Annotated[int | None, OPTIONAL]
Text = Annotated[str | None, arg(metavar="TEXT", help_behavior_hint="")]


def registry() -> ConstructorRegistry:
    """Return tyro's rules with two more.

    ``X | None`` is shown like ``X``, and a default of None as "none". A word where a number belongs gets an error that
    states the rule.
    """
    rules = ConstructorRegistry()

    @rules.primitive_rule
    def number(option: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
        if option.type not in (int, float):
            return None
        kind, rule = (int, "an integer") if option.type is int else (float, "a number")

        def parse(words: list[str]) -> int | float:
            try:
                return kind(words[0])
            except ValueError:
                raise ValueError(f"must be {rule}, got {words[0]!r}") from None

        return PrimitiveConstructorSpec(
            nargs=1,
            metavar=kind.__name__.upper(),
            instance_from_str=parse,
            is_instance=lambda value: isinstance(value, int | kind),
            str_from_instance=lambda value: [str(value)],
        )

    @rules.primitive_rule
    def optional(option: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
        kinds = [kind for kind in get_args(option.type) if kind is not NoneType]
        if option.type_origin not in (Union, UnionType) or len(kinds) != 1:
            return None
        spec = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(kinds[0], option.markers))
        if not isinstance(spec, PrimitiveConstructorSpec):
            return None
        return replace(
            spec,
            is_instance=lambda value: value is None or spec.is_instance(value),
            str_from_instance=lambda value: ["none"] if value is None else spec.str_from_instance(value),
        )

    return rules


def print_written(screen: Console, folder: Path, names: Iterable[str]) -> None:
    """Print the names of the files and folders that a command wrote into a folder."""
    screen.print(f"wrote {folder}: {', '.join(names)}", soft_wrap=True, markup=False)
