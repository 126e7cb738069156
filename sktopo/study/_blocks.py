"""What sections of the report are made of, as plain data; each has its template."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np


class NotShownError(Exception):
    """Why a section of the report cannot be drawn or tested, in a line."""


def words_to_name(words):
    """Words as the name of a place in the page, or of a class of its style."""
    return re.sub("[^a-z]+", "-", words.lower()).strip("-")


def in_cell(value):
    """What stands in a cell of a table."""
    if isinstance(value, float):
        return "\u2013" if np.isnan(value) else f"{value:.3g}"
    return str(value)


def count(n, what):
    """A number of things: "1 seed", "2 seeds"."""
    return f"{n} {what}{'s' * (n != 1)}"


def n_equals(numbers):
    """How many a value is of: "n = 3", or "n = 2 to 3"."""
    known = sorted({int(n) for n in numbers} - {0}) or [0]
    return f"n = {known[0]}" + (f" to {known[-1]}" if len(known) > 1 else "")


@dataclass
class Text:
    """Paragraphs, with an empty line between two."""

    template: ClassVar[str] = "text.html"
    text: str


@dataclass
class Lines:
    """A line each: what it is about, and what is told of it."""

    template: ClassVar[str] = "lines.html"
    title: str
    lines: Sequence[tuple[str, str]]


@dataclass
class Key:
    """Which condition looks how: its name, and an image of its line."""

    template: ClassVar[str] = "key.html"
    entries: Sequence[tuple[str, str]]


@dataclass
class ClassKey:
    """Which class has which colour."""

    template: ClassVar[str] = "classes.html"
    entries: Sequence[tuple[str, str]]


@dataclass
class Figure:
    """One image, with its title and a caption."""

    title: str
    taken_at: str
    image: str
    caption: str


@dataclass
class Figures:
    """Images beside each other."""

    template: ClassVar[str] = "figures.html"
    figures: Sequence[Figure]
    wide: bool = False


@dataclass
class Table:
    """A table; `numbers` are the columns that are set to the right."""

    template: ClassVar[str] = "table.html"
    label: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    numbers: Sequence[str] = ()

    @classmethod
    def of(cls, label, frame, numbers=()):
        """The table of a DataFrame."""
        rows = list(frame.itertuples(index=False, name=None))
        return cls(label, list(frame), rows, numbers)


@dataclass
class Difference:
    """A mean difference and its interval, and whether that leaves out 0."""

    mean: str
    interval: str
    leaves_out_0: bool


@dataclass
class DifferenceRow:
    """Differences of one measure, None where there is no value."""

    title: str
    taken_at: str
    n: str
    cells: Sequence[Difference | None]


@dataclass
class Differences:
    """Differences from the control: a row a measure, a column a condition and lam."""

    template: ClassVar[str] = "differences.html"
    # name, image of its line, lams
    conditions: Sequence[tuple[str, str, Sequence[str]]]
    rows: Sequence[DifferenceRow]


@dataclass
class Winner:
    """The most accurate condition under one noise, and its lead on the control.

    A lead is within noise where seeds do not show that there is one.
    """

    name: str
    image: str
    accuracy: str
    lead: str
    within_noise: bool


@dataclass
class Winners:
    """A row a kind of noise, a column a level; None where nothing was measured."""

    template: ClassVar[str] = "winners.html"
    levels: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Winner | None]]]


@dataclass
class Claim:
    """A contrast; `numbers` are those of the columns of its table."""

    claim: str
    verdict: str
    contrast: str
    text: str
    note: str
    estimate: str
    numbers: Sequence[str]
    n: str

    @property
    def style(self):
        return words_to_name(self.verdict)


@dataclass
class Claims:
    """A table of contrasts, with or without their verdicts."""

    template: ClassVar[str] = "claims.html"
    label: str
    numbers: Sequence[str]
    rows: Sequence[Claim]
    has_verdicts: bool


@dataclass
class Details:
    """What is folded away."""

    template: ClassVar[str] = "details.html"
    summary: str
    blocks: Sequence[Any]


@dataclass
class Downloads:
    """Files within the page: what they hold, their names and addresses."""

    template: ClassVar[str] = "downloads.html"
    files: Sequence[tuple[str, str, str]]


@dataclass
class Section:
    """A heading, what stands under it, and the name that links lead to."""

    title: str
    blocks: Sequence[Any]
    anchor: str = ""

    def __post_init__(self):
        self.anchor = self.anchor or words_to_name(self.title)
