"""`reckon algorithms`: the learners and their hyperparameters."""

import inspect
import json
from dataclasses import fields
from typing import Any

import typer


def algorithms(
    name: str | None = typer.Argument(None, help="Only this algorithm, with the meaning of its hyperparameters"),
    as_json: bool = typer.Option(False, "--json", help="Print the algorithms as JSON"),
) -> None:
    """List the algorithms that `train`, `evaluate` and `tune` take, with their hyperparameters and defaults."""
    from app.algorithms.by_name import LEARNERS
    from app.errors import InvalidInputError

    if name is not None and name not in LEARNERS:
        raise InvalidInputError(f"there is no algorithm {name!r}; there are: {', '.join(LEARNERS)}", field="name")
    chosen = LEARNERS if name is None else {name: LEARNERS[name]}
    described = {each: _described(each, learner) for each, learner in chosen.items()}
    if as_json:
        typer.echo(json.dumps(described))
        return
    for each, description in described.items():
        segments = ", ".join(description["segments"])
        typer.echo(f"{each}{f' (segment {segments})' if segments else ' (for evaluation)'}")
        text = description["description"] if name else description["description"].partition("\n\n")[0]
        typer.echo("\n".join(f"    {line}".rstrip() for line in text.splitlines()))
        values = description["hyperparameters"].items()
        for hyperparameter, default in values:
            typer.echo(f"    --param {hyperparameter}={_shown(default)}")


def _described(name: str, learner: type[Any]) -> dict[str, Any]:
    from app.segments.registry import SEGMENTS

    return {
        "description": inspect.getdoc(learner),
        "segments": [each.name for each in SEGMENTS.values() if name in each.algorithms],
        "hyperparameters": {each.name: each.default for each in fields(learner)},
    }


def _shown(default: object) -> str:
    # As the command line takes it.
    return str(default).lower() if default is None or isinstance(default, bool) else str(default)
