"""A snapshot: its card in words, how good it is and where, and its weights; makes it live."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Form, Path, Request, Response
from fastapi.responses import RedirectResponse
from starlette.concurrency import run_in_threadpool

from app.console.learning import JOBS, LEARNING, Gate, Measured, SnapshotRow
from app.console.plots import Plot, Spec, bars, channel, lines
from app.console.rendering import link, moment, number, page, percent
from app.console.routing import changes, console_router, service_of
from app.entities import from_microseconds
from app.errors import NotFoundError
from app.training.measure import COVERAGE, NDCG, RECALL
from app.training.validation_split import MAE, RMSE
from app.wiring import Service

router = console_router()

SNAPSHOTS = f"{LEARNING}/snapshots"
LATEST = "latest"
Version = Annotated[int, Path(ge=1, lt=2**63)]

NAMES = {
    "snapshot": "this snapshot",
    "bestsellers": "bestsellers",
    "recent": "popular of late",
    "biases": "means of users and items",
}
METRICS = {
    NDCG: ("nDCG@10", "How well lists of ten rank what users liked later, from 0 to 1."),
    RECALL: ("recall@10", "The share of what users liked later that lists of ten find, from 0 to 1."),
    COVERAGE: ("coverage@10", "The share of items that are in at least one list, from 0 to 1."),
    RMSE: ("RMSE", "The typical distance between predicted and actual ratings, in units of the rating scale."),
    MAE: ("MAE", "The mean distance between predicted and actual ratings, in units of the rating scale."),
}
EARLIER = (
    "Errors by rating, the learning curve and the exposure of items are not on the card of this snapshot, which an "
    "earlier release made. Those of new runs have them."
)


class SnapshotGoneError(NotFoundError):
    title = "The snapshot is gone"

    def __init__(self, version: int) -> None:
        super().__init__("snapshot", str(version))
        self.detail = (
            f"there is no snapshot {version}, or no longer: the newest ones and the live one are kept, and a training "
            "run has removed the others. Nothing was changed. Choose another one under Learning."
        )


@dataclass(frozen=True, slots=True)
class FiguresRow:
    """The figures of the snapshot or of a baseline, in the order of the columns."""

    name: str
    figures: list[Measured]


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """`share`: of the sum of the weights. `size`: of what was learned, in words."""

    name: str
    algorithm: str
    weight: float
    share: float
    size: str
    hyperparameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class SnapshotView:
    """`words`: the card in sentences. `lacks`: what a snapshot of an earlier release does not tell, in sentences.

    `problem`: why it cannot be served; None if nothing is wrong as far as is seen. `live`: the version that is live.
    """

    row: SnapshotRow
    live: int | None
    problem: str | None
    words: list[str]
    gate: Gate
    columns: list[tuple[str, str]]
    figures: list[FiguresRow]
    segments: list[SegmentRow]
    weights: Plot
    plots: list[Plot]
    lacks: list[str]
    choices: list[str]
    counts: list[tuple[str, str, str]]
    phases: list[tuple[str, float]]
    job_href: str | None
    map_href: str
    compare_href: str | None


def snapshot_view(service: Service, version: int) -> SnapshotView:
    """Raises `SnapshotGoneError`."""
    entries = service.store.snapshots.entries()
    entry = next((each for each in entries if each.version == version), None)
    if entry is None:
        raise SnapshotGoneError(version)
    card, row = entry.card, SnapshotRow.of(entry)
    live = next((each.version for each in entries if each.is_live), None)
    others = [each.version for each in entries if each.version != version]
    other = live if live is not None and live != version else next(iter(others), None)
    metrics = [metric for metric in METRICS if any(metric in each for each in card.get("metrics", {}).values())]
    names = [name for name in NAMES if card.get("metrics", {}).get(name)]
    segments = segment_rows(card)
    plots, lacks = diagnosis_plots(card)
    return SnapshotView(
        row=row,
        live=live,
        problem=service.published.problem(entry),
        words=in_words(card),
        gate=row.gate,
        columns=[METRICS[metric] for metric in metrics],
        figures=[FiguresRow(NAMES[name], [Measured.of(card, name, each) for each in metrics]) for name in names],
        segments=segments,
        weights=Plot(
            "Weights of the segments",
            "How much each segment counts in the score, chosen on held-out ratings. The scores of each are "
            "standardised per user, so the weights can be compared.",
            ("Segment", "Weight"),
            [(each.name, round(each.weight, 4)) for each in segments],
            _upright(bars("Segment", "Weight", x_kind="nominal", sort=None)),
            height=180,
        ),
        plots=plots,
        lacks=lacks,
        choices=list(card.get("choices", [])),
        counts=count_rows(card),
        phases=list(card.get("phase_seconds", {}).items()),
        job_href=link(JOBS, card["job_id"]) if card.get("job_id") else None,
        map_href=link(SNAPSHOTS, version, "map"),
        compare_href=None if other is None else link(f"{LEARNING}/compare", a=other, b=version),
    )


def in_words(card: dict[str, Any]) -> list[str]:
    """What the card says, a sentence each."""
    counts, said = card.get("counts", {}), []
    labels = counts.get("labels", 0)
    said.append(
        f"It was learned from {number(counts.get('ratings'))} ratings"
        + (f" and {number(labels)} labels of events" if labels else "")
        + f" of {number(counts.get('users'))} users and {number(counts.get('items'))} items, on the rating scale "
        f"{card.get('rating_scale')}."
    )
    ndcg, bestsellers = (Measured.of(card, name, NDCG).value for name in ("snapshot", "bestsellers"))
    if ndcg is not None and bestsellers is not None:
        than = f", {percent(ndcg / bestsellers - 1, 0)} above" if bestsellers and ndcg > bestsellers else ", against"
        said.append(
            f"On ratings that were held back, its lists of ten reach an nDCG of {ndcg:.4f}{than} the {bestsellers:.4f} "
            "of bestsellers."
        )
    rmse, biases = (Measured.of(card, name, RMSE).value for name in ("snapshot", "biases"))
    if rmse is not None and biases is not None:
        said.append(
            f"Its predicted ratings are off by {rmse:.3f} (RMSE); the means of users and items alone are off by "
            f"{biases:.3f}."
        )
    if card.get("is_led_by_events"):
        said.append("There were hardly any ratings, so it learned from events as if they were ratings.")
    index = card.get("index")
    if index is not None:
        said.append(f"A search of its index, {index['name']}, finds {percent(index['recall'])} of the best items.")
    return said


def segment_rows(card: dict[str, Any]) -> list[SegmentRow]:
    segments = card.get("segments", [])
    total = sum(abs(each["weight"]) for each in segments) or 1.0
    return [
        SegmentRow(
            name=each["name"],
            algorithm=each["algorithm"],
            weight=each["weight"],
            share=abs(each["weight"]) / total,
            size=(
                f"{number(each.get('n_entries'))} entries"
                if each.get("columns") is None
                else f"{each['columns'][1] - each['columns'][0]} columns"
            ),
            hyperparameters=each.get("hyperparameters", {}),
        )
        for each in segments
    ]


def count_rows(card: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Name, value and meaning of what went in."""
    counts, watermark = card.get("counts", {}), card.get("watermark", {})
    newest = watermark.get("newest_rated_at")
    return [
        ("Ratings", number(counts.get("ratings")), "Ratings that it was learned from."),
        ("Users", number(counts.get("users")), "Users whom it knows."),
        ("Items", number(counts.get("items")), "Items that it knows, rated or not."),
        ("Labels of events", number(counts.get("labels")), "Pairs of user and item whose events say like or dislike."),
        ("Events", number(watermark.get("n_events")), "All events that were stored at the time."),
        (
            "Newest rating",
            moment(None if newest is None else from_microseconds(newest)),
            "When the newest rating was made that it knows.",
        ),
        (
            "Users in quarantine",
            number(card.get("n_quarantined")),
            "Users whose ratings and events were not learned from, as they look made to push an item.",
        ),
        (
            "Capped",
            number(card.get("n_capped")),
            "Ratings and labels that were not learned from, as they came in a burst.",
        ),
        ("Seed", number(card.get("seed")), "Of the random generator: the same data and seed give the same snapshot."),
    ]


def diagnosis_plots(card: dict[str, Any]) -> tuple[list[Plot], list[str]]:
    """Where the snapshot does well, as plots; and what it does not tell, in sentences."""
    diagnosis = card.get("diagnosis")
    if diagnosis is None:
        return [], [EARLIER]
    plots, lacks = [], []
    if errors := diagnosis["errors"]:
        plots.append(
            Plot(
                "Error by rating",
                "The RMSE of predictions for each actual rating that was held back, in units of the rating scale: "
                "extreme ratings are the hardest. A positive mean error says that predictions are too high.",
                ("Rating", "RMSE", "Mean error", "Ratings"),
                [(each["rating"], _round(each["rmse"]), _round(each["mean_error"]), each["n"]) for each in errors],
                _upright(_with_tooltip(bars("Rating", "RMSE"), ("Mean error", "Ratings"))),
            )
        )
    else:
        lacks.append("There are no errors by rating: no ratings are predicted, or none were held back.")
    if curve := diagnosis["curve"]:
        plots += curve_plots(curve)
    else:
        lacks.append("There is no learning curve: runs on at most 100,000 ratings of 3,000 items draw one.")
    exposure = diagnosis["exposure"]
    if exposure is not None and exposure["lorenz"]:
        plots += exposure_plots(exposure)
    else:
        lacks.append("There is nothing on exposure: no lists were measured.")
    return plots, lacks


def curve_plots(curve: list[dict[str, Any]]) -> list[Plot]:
    meaning = (
        " reached on the ratings held back, after learning from a part of the others. If the curve still bends at the "
        "end, more ratings will help."
    )
    return [
        Plot(
            f"Learning curve: {title}",
            f"The {title}{meaning}",
            ("Ratings", title),
            [(each["n_ratings"], _round(each[name])) for each in curve if each[name] is not None],
            lines("Ratings", title),
        )
        for title, name in (("nDCG@10", "ndcg"), ("RMSE", "rmse"))
        if any(each[name] is not None for each in curve)
    ]


def exposure_plots(exposure: dict[str, Any]) -> list[Plot]:
    n_lists, gini = exposure["n_lists"], exposure["gini"]
    of_groups = [
        (f"{place + 1}", name, round(100 * share, 2))
        for place, pair in enumerate(exposure["by_popularity"])
        for name, share in zip(("choices of users", "places in lists"), pair, strict=True)
    ]
    even = [(x, x, "all items alike") for x, _ in (exposure["lorenz"][0], exposure["lorenz"][-1])]
    return [
        Plot(
            "Exposure against popularity",
            "Items in ten groups of equal size, the least chosen first: each group's share of what users chose, and of "
            f"the places in {n_lists:,} lists of ten. Where the lists are above the choices, they favour these items.",
            ("Group", "Of", "Share in %"),
            of_groups,
            _side_by_side(),
        ),
        Plot(
            f"Lorenz curve of exposure, Gini {gini:.2f}",
            "How evenly the lists show the items, those shown least first: the further the curve hangs below the "
            "straight line, the fewer items take most places. Gini 0: all alike; 1: one item alone.",
            ("Share of items", "Share of places", "Line"),
            [(x, y, "this snapshot") for x, y in exposure["lorenz"]] + even,
            _with_legend_below(lines("Share of items", "Share of places", series="Line", points=False)),
        ),
    ]


def _side_by_side() -> Spec:
    spec = bars("Group", "Share in %", colour="Of", sort=None)
    spec["encoding"]["xOffset"] = {"field": "Of"}
    return _upright(_with_legend_below(spec))


def _with_legend_below(spec: Spec) -> Spec:
    spec["encoding"]["color"]["legend"] = {"orient": "bottom", "title": None}
    return spec


def _upright(spec: Spec) -> Spec:
    """With the labels of the x axis to be read without turning one's head."""
    spec["encoding"]["x"]["axis"] = {"labelAngle": 0}
    return spec


def _with_tooltip(spec: Spec, names: tuple[str, ...]) -> Spec:
    spec["encoding"]["tooltip"] += [channel(name, "quantitative") for name in names]
    return spec


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


@router.get(f"{SNAPSHOTS}/{{version}}")
async def show(request: Request, version: Version) -> Response:
    view = await run_in_threadpool(snapshot_view, service_of(request), version)
    return page(request, "learning_snapshot.html", view)


@router.post(f"{SNAPSHOTS}/latest/activate")
@changes("snapshots.activate")
async def follow(request: Request) -> Response:
    """Make the newest snapshot live, and later ones when they are published."""
    request.state.audited = LATEST
    await run_in_threadpool(service_of(request).published.activate, None)
    return RedirectResponse(link(LEARNING, said="followed"), status_code=303)


@router.post(f"{SNAPSHOTS}/{{version}}/activate")
@changes("snapshots.activate")
async def activate(request: Request, version: Version, seen: Annotated[str, Form(max_length=20)] = "") -> Response:
    """Make the snapshot live and pin it. `seen`: the version that was live on the operator's page, if any."""
    await run_in_threadpool(make_live, service_of(request), version, seen)
    return RedirectResponse(link(SNAPSHOTS, version, said="activated"), status_code=303)


def make_live(service: Service, version: int, seen: str) -> None:
    """Make a snapshot live and pin it, unless another one went live since the operator looked.

    `seen`: the version that was live then, as the form sends it.

    Raises `LiveChangedError`, `SnapshotGoneError`, `ActivationRefusedError` and `ErasedSinceError`.
    """
    if seen == "":
        expected: list[int | None] = [None]
    else:
        expected = [int(seen)] if seen.isascii() and seen.isdigit() else []
    try:
        service.published.activate(version, seen=expected)
    except NotFoundError as error:
        raise SnapshotGoneError(version) from error
