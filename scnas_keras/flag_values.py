"""Values of flags: how they are read from text, by their types and ranges, and written as text."""

import dataclasses
import math
import types
import typing
from typing import Any

from absl import flags

SMALLEST = 2.0**-126
"""The smallest number above 0 that isn't taken for 0 in computations of 32 bits."""
_POINTS = "decimals are written with a point"


def define(values: flags.FlagValues, field: dataclasses.Field) -> None:
    """Adds the flag that an `options.option` describes."""
    kind, shared = plain_type(field.type), {"flag_values": values}
    several = kind is int and tuple[int, ...] in typing.get_args(field.type)
    default, help = field.default, field.metadata["help"]
    if field.metadata["choices"] and default is None:
        flags.DEFINE(_AutoParser(flags.EnumParser(list(field.metadata["choices"]))), field.name, default, help, serializer=None, **shared)
    elif field.metadata["choices"]:
        flags.DEFINE_enum(field.name, default, list(field.metadata["choices"]), help, **shared)
    elif kind is bool:
        define_switch(values, field.name, default, help)
    elif kind is str:
        flags.DEFINE_string(field.name, default, help, **shared)
    else:
        parser = _OneOrSeveralParser(int) if several else _parser(kind)
        parser = _RangeParser(parser, *field.metadata["range"])
        flags.DEFINE(_AutoParser(parser) if default is None else parser, field.name, default, help, serializer=None, **shared)


def _parser(kind: Any) -> flags.ArgumentParser:
    return {int: _WholeParser, float: _FiniteParser}.get(kind, lambda: _NumbersParser(typing.get_args(kind)[0]))()


def define_switch(values: flags.FlagValues, name: str, default: bool, help: str) -> None:
    """Adds a flag that is true or false."""
    flag = flags.BooleanFlag(name, default, help)
    flag.parser = _YesNoParser()
    flags.DEFINE_flag(flag, flag_values=values)


def flag_text(value: Any) -> str:
    """A value as it is written in a flag; auto for None."""
    if value is None:
        return "auto"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def plain_type(annotation: Any) -> Any:
    """The type of a flag's values but None."""
    if isinstance(annotation, types.UnionType):
        return next(kind for kind in typing.get_args(annotation) if kind is not types.NoneType)
    return annotation


class _YesNoParser(flags.BooleanParser):
    """true or false, also as yes, no, 1 and 0."""

    def parse(self, argument):
        try:
            return super().parse(argument)
        except (TypeError, ValueError) as error:
            raise ValueError(f"expected true or false, found {argument!r}") from error


class _WholeParser(flags.IntegerParser):
    """A whole number."""

    def parse(self, argument):
        try:
            return super().parse(argument)
        except (TypeError, ValueError) as error:
            raise ValueError(f"expected a whole number, like 1000, found {argument!r}") from error


class _FiniteParser(flags.FloatParser):
    """A number; nan and the infinite ones are nobody's wish."""

    def parse(self, argument):
        try:
            number = super().parse(argument)
        except ValueError as error:
            raise ValueError(f"expected a number like 100 or 0.002, decimals with a point, found {argument!r}") from error
        if number is not None and not math.isfinite(number):
            raise ValueError(f"expected a finite number, found {argument}")
        return number


class _RangeParser(flags.ArgumentParser):
    """Another parser, of whose numbers none may be out of a range."""

    def __init__(self, parser: flags.ArgumentParser, least: float, most: float, above: float):
        self._parser, self._least, self._most, self._above = parser, least, most, above

    def parse(self, argument):
        found = self._parser.parse(argument)
        for number in found if isinstance(found, tuple) else (found,):
            if not self._least <= number <= self._most:
                bound = f"{self._most} at most" if number > self._most else f"{self._least} at least"
                commas = isinstance(number, float) and isinstance(argument, str) and "," in argument and "." not in argument
                raise ValueError(f"expected {bound}{f', found {number:g}; {_POINTS}' if commas else ''}")
            if not number > self._above:
                raise ValueError(f"expected a number above {self._above}")
            if self._above == 0 and number < SMALLEST:
                raise ValueError(f"expected a number above 0, not so near that it is 0 in 32 bits, found {number}")
        return found

    def flag_type(self):
        return self._parser.flag_type()


class _AutoParser(flags.ArgumentParser):
    """Another parser, and the word auto for what is decided without the flag."""

    def __init__(self, parser: flags.ArgumentParser):
        self._parser = parser

    def parse(self, argument):
        return None if argument in (None, "auto") else self._parser.parse(argument)

    def flag_type(self):
        return self._parser.flag_type()


class _NumbersParser(flags.ArgumentParser):
    """Comma-separated numbers to a tuple."""

    def __init__(self, kind: type):
        self._kind = kind

    def parse(self, argument):
        if not isinstance(argument, str):
            return argument
        try:
            numbers = tuple(self._kind(part) for part in argument.split(","))
        except ValueError as error:
            like, points = "whole numbers with commas between, like 40,56,40", ""
            if self._kind is float:
                like, points = "numbers with commas between, like 0.7,0.7,1.5", f"; {_POINTS}"
            raise ValueError(f"expected {like}, found {argument!r}{points}") from error
        if not all(map(math.isfinite, numbers)):
            raise ValueError(f"expected finite numbers, found {argument!r}")
        return numbers

    def flag_type(self):
        return "numbers"


class _OneOrSeveralParser(_NumbersParser):
    """A whole number, or several as a tuple."""

    def parse(self, argument):
        if isinstance(argument, str) and "," not in argument:
            return _WholeParser().parse(argument)
        try:
            return super().parse(argument)
        except ValueError as error:
            raise ValueError(f"expected a whole number, or several with commas between, like 0,1,2, found {argument!r}") from error
