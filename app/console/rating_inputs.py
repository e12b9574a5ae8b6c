"""How a rating is entered: stars, like and dislike, a choice or a number, as the scale of the service says."""

from dataclasses import dataclass
from typing import Literal

from app.console.item_lists import value_text
from app.entities import RatingScale

MAX_STARS = 11
"""Values up to which each has a star of its own: 0 to 10."""

FEWEST = 2
HALF = 0.5


@dataclass(frozen=True, slots=True)
class RatingChoice:
    """`part`: `left` and `right` of one star where there are halves; empty for a whole one."""

    value: str
    label: str
    glyph: str
    part: Literal["", "left", "right"] = ""


@dataclass(frozen=True, slots=True)
class RatingInput:
    """`kind`: `stars` and `thumbs` have `choices`, `choose` has one, `number` is typed.

    `minimum`, `maximum`, `step`: of a number, as HTML has them.
    """

    kind: Literal["stars", "thumbs", "choose", "number"]
    choices: tuple[RatingChoice, ...] = ()
    minimum: str = ""
    maximum: str = ""
    step: str = "any"


def rating_input(scale: RatingScale) -> RatingInput:
    if scale.kind == "pairs":
        return RatingInput("choose", (RatingChoice("1", "Choose", "Choose"),))
    step, span = scale.step or 1.0, scale.maximum - scale.minimum
    if scale.is_graded and scale.minimum == 0 and span == step == 1:
        like, dislike = RatingChoice("1", "Like", "Like"), RatingChoice("0", "Dislike", "Dislike")
        return RatingInput("thumbs", (like, dislike))
    n_values = int(span / step + 1e-6) + 1
    if scale.is_graded and FEWEST <= n_values <= MAX_STARS:
        values = [round(scale.minimum + place * step, 9) for place in range(n_values)]
        return RatingInput("stars", tuple(_star(value, scale, is_first=value == values[0]) for value in values))
    return RatingInput(
        "number",
        minimum=value_text(scale.minimum),
        maximum=value_text(scale.maximum) if scale.is_graded else "",
        step="any" if scale.step is None else value_text(scale.step),
    )


def _star(value: float, scale: RatingScale, *, is_first: bool) -> RatingChoice:
    part: Literal["", "left", "right"] = ""
    if scale.step == HALF and value > 0:
        is_whole = value == int(value)
        # A scale that begins with a whole star has no half of it.
        part = ("" if is_first else "right") if is_whole else "left"
    text = value_text(value)
    return RatingChoice(text, f"{text} of {value_text(scale.maximum)}", "★" if value > 0 else text, part)
