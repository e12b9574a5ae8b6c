"""The names in an expression that the catalogue does not know: attributes that no item has, categories of no item."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from app.serving.catalogue import Catalogue
from app.serving.expressions.errors import ExpressionError
from app.serving.expressions.fields import FIELDS
from app.serving.expressions.syntax import Constant, Contains, Has, Predicate, Term, predicates
from app.serving.near_names import suggestion


@dataclass(frozen=True, slots=True)
class UnknownName:
    """`field`: the setting that holds the expression. `position`: of the name in its `text`."""

    kind: Literal["attribute", "category"]
    name: str
    field: str | None
    text: str
    position: int

    def error(self, catalogue: Catalogue, way_out: str = "") -> ExpressionError:
        """The error to raise where an unknown name is refused; it says which known names are near, then `way_out`."""
        known: Iterable[str] = catalogue.category_names[1:]
        if self.kind == "attribute":
            known = [*FIELDS, *catalogue.attributes]
        near = suggestion(self.name, known)
        return ExpressionError(f"no item has {self}{near}{way_out}", self.text, self.position, field=self.field)

    def __str__(self) -> str:
        return f"an attribute {self.name!r}" if self.kind == "attribute" else f"the category {self.name!r}"


def unknown_names(terms: Iterable[Term], text: str, field: str | None, catalogue: Catalogue) -> Iterator[UnknownName]:
    """The unknown names in the parsed `terms` of `text`, in their order."""
    for term in terms:
        for predicate in predicates(term):
            column = predicate.column
            if column.is_attribute and not catalogue.has_attribute(column.name):
                yield UnknownName("attribute", column.name, field, text, column.position)
            category = _category(predicate)
            if category is not None and not catalogue.has_category(str(category.value)):
                yield UnknownName("category", str(category.value), field, text, category.position)


def _category(predicate: Predicate) -> Constant | None:
    """The constant that the predicate looks for among an item's categories."""
    match predicate:
        case Has(Constant() as category, column) | Contains(column, Constant() as category):
            return category if column.name == "categories" and not column.is_attribute else None
    return None
