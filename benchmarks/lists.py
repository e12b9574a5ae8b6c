"""The default lists beside tuned peers on data of many shapes, in one run. See `list_data`, `list_peers`."""

import importlib.util
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.algorithms.rating_matrix import RatingMatrix
from app.evaluation.intervals import Interval, resampled_means
from app.evaluation.ranking import Score, evaluate_ranking, users_with_relevant
from app.training.blend_learner import Blend, BlendLearner
from app.training.dataset import learnable
from benchmarks.list_data import DATA, REAL, Asked, Question
from benchmarks.list_made_up import KINDS, MADE_UP
from benchmarks.list_peers import (
    BESTSELLERS,
    EASE,
    EASE_NAME,
    FAMILIES,
    HALF,
    RECENT,
    TRANSITIONS,
    Family,
    Halves,
    Peer,
    is_ordered,
)
from benchmarks.table import Row

SETS: dict[str, Callable[[], Question]] = {**REAL, **MADE_UP, **KINDS}
PARTS = (*SETS, "kinds")
DEFAULT = "default lists"
K = 10

MAX_TUNING_USERS, MAX_TUNING_ITEMS = 3_000, 4_000
"""Users who are asked while a peer is tuned, and items, the most chosen ones, while one of items by items is."""

PerUser = NDArray[np.float64]
"""(n_users,), NaN for users without a relevant item."""


def rows(parts: list[str] | None = None) -> list[Row]:
    names = [name for part in parts or SETS for name in (KINDS if part == "kinds" else [part])]
    printed, results = [], []
    for name in names:
        if name in REAL and not DATA.is_dir():
            printed.append(Row(name, "", "not measured", "needs the data in ../shared/data"))
            continue
        result = measure(name, SETS[name]())
        results.append(result)
        printed += result.rows()
    if len(results) > 1:
        printed.append(over_all(results))
    return printed


@dataclass(frozen=True)
class Lists:
    """How good the lists of one learner are.

    `ndcg`, `hit_rate`: at 10, each user's mean over its lists.
    """

    ndcg: PerUser
    hit_rate: PerUser
    note: str = ""
    is_peer: bool = True

    @property
    def mean(self) -> float:
        return float(np.nanmean(self.ndcg))


@dataclass(frozen=True)
class Result:
    """All learners on one question. `segments`: those of the blend, each as the only one."""

    name: str
    question: Question
    lists: Mapping[str, Lists]
    segments: Mapping[str, Lists]

    @property
    def default(self) -> Lists:
        return self.lists[DEFAULT]

    @property
    def best_peer(self) -> str:
        return max((name for name, each in self.lists.items() if each.is_peer), key=lambda name: self.lists[name].mean)

    def ratio_to(self, other: Lists) -> tuple[float, Interval | None, Interval | None]:
        """The ratio of our mean to the other's, its paired interval, and that of the difference."""
        means = resampled_means(np.column_stack([self.default.ndcg, other.ndcg]), np.random.default_rng(0))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios, ratio = means[:, 0] / means[:, 1], self.default.mean / other.mean if other.mean else np.inf
        return ratio, Interval.from_resamples(ratios), Interval.from_resamples(means[:, 0] - means[:, 1])

    def rows(self) -> list[Row]:
        measured = [
            Row(
                f"{self.name}: {name}",
                self.question.reach if name == DEFAULT else "",
                f"{lists.mean:.4f}",
                f"hit rate {np.nanmean(lists.hit_rate):.4f}; {lists.note}",
            )
            for name, lists in self.lists.items()
        ]
        beside = [self.beside(name, "") for name in self.lists if self.is_named(name)]
        beside.append(self.beside(self.best_peer, "interval not below 1", "the best peer, "))
        if self.segments:
            best = max(self.segments, key=lambda name: self.segments[name].mean)
            others = ", ".join(f"{name} {each.mean:.4f}" for name, each in self.segments.items())
            ratio = self.default.mean / (self.segments[best].mean or np.nan)
            beside.append(Row(f"{self.name}: blend / its best segment, {best}", ">= 0.99 x", f"{ratio:.3f} x", others))
        return measured + beside

    def is_named(self, name: str) -> bool:
        """Whether the comparison is asked for, whatever peer is best."""
        return name in (EASE_NAME, BESTSELLERS) and name != self.best_peer

    def beside(self, name: str, reach: str, what: str = "") -> Row:
        ratio, of_ratio, of_difference = self.ratio_to(self.lists[name])
        reach = ">= 1.5 x" if self.name in KINDS and name == BESTSELLERS else reach
        note = f"ratio {_shown(of_ratio, '.3f')}, difference {_shown(of_difference, '+.4f')}"
        return Row(f"{self.name}: default / {what}{name}", reach, f"{ratio:.3f} x", note)


def _shown(interval: Interval | None, digits: str) -> str:
    return "-" if interval is None else f"{interval.low:{digits}} to {interval.high:{digits}}"


def over_all(results: list[Result]) -> Row:
    ratios = [result.ratio_to(result.lists[result.best_peer])[:2] for result in results]
    below = [
        result.name
        for result, (_, interval) in zip(results, ratios, strict=True)
        if interval is not None and interval.high < 1
    ]
    mean = float(np.mean([ratio for ratio, _ in ratios]))
    note = f"intervals wholly below 1: {', '.join(below) or 'none'}"
    return Row(f"mean of default / best peer, {len(ratios)} sets", ">= 1.03 x, none below", f"{mean:.3f} x", note)


def measure(name: str, question: Question) -> Result:
    train, asked = question.parts()
    size = f"{question.ratings.n_users:,} users, {question.ratings.n_items:,} items, {len(question.ratings):,} pairs"
    say(f"{name}: {size}")
    lists: dict[str, Lists] = {}
    fitted: dict[str, Any] = {}
    for peer_name, family in FAMILIES.items():
        if not is_applicable(peer_name, question):
            continue
        peer, seconds = tune(family, question)
        started = time.perf_counter()
        fitted[peer_name] = peer.fit(train, np.random.default_rng(0))
        note = f"{peer}; tuned in {seconds:.0f} s; fit {time.perf_counter() - started:.1f} s"
        lists[peer_name] = Lists(*lists_of(fitted[peer_name].ranker, question, asked), note)
        say(f"{name}: {peer_name} {lists[peer_name].mean:.4f}; {note}")
    if TRANSITIONS in fitted:
        # A blend of peers, printed to compare with; the figures to reach name the peers by themselves.
        half = Halves(fitted[EASE_NAME], fitted[TRANSITIONS])
        lists[HALF] = Lists(*lists_of(half.ranker, question, asked), is_peer=False)
        say(f"{name}: {HALF} {lists[HALF].mean:.4f}")
    lists[DEFAULT], segments = of_blend(question, train, asked)
    say(f"{name}: {DEFAULT} {lists[DEFAULT].mean:.4f}; {lists[DEFAULT].note}")
    return Result(name, question, lists, segments)


def say(text: str) -> None:
    """A run takes minutes, and its table comes at the end."""
    print(text, file=sys.stderr, flush=True)


def is_applicable(name: str, question: Question) -> bool:
    if name in (TRANSITIONS, RECENT):
        # Places in a history are an order, but not times: no item is recent for all.
        return is_ordered(question.ratings) and (name == TRANSITIONS or question.ratings.times.max() > 10**9)
    return name != "iALS of implicit" or importlib.util.find_spec("implicit") is not None


def tune(family: Family, question: Question) -> tuple[Any, float]:
    """The settings of the best lists on an inner split by the rule of the outer one, and the seconds of the search."""
    started = time.perf_counter()
    if not family.grid:
        return family.start, 0.0
    inner = question.inside()
    # EASE takes the cube of the smaller of users and items.
    is_small = isinstance(family.start, EASE) and inner.ratings.n_users <= MAX_TUNING_ITEMS
    if family.is_item_item and not is_small:
        inner = replace(inner, ratings=most_chosen(inner.ratings, MAX_TUNING_ITEMS))
    train, asked = inner.parts()

    def ndcg(peer: Peer) -> float:
        fitted = peer.fit(train, np.random.default_rng(0))
        return float(np.nanmean(lists_of(fitted.ranker, inner, asked, MAX_TUNING_USERS)[0]))

    return family.tune(ndcg), time.perf_counter() - started


def most_chosen(ratings: RatingMatrix, n: int) -> RatingMatrix:
    """The ratings of the `n` items with the most, renumbered."""
    if ratings.n_items <= n:
        return ratings
    row_of = np.full(ratings.n_items, -1)
    row_of[np.argsort(-ratings.item_counts, kind="stable")[:n]] = np.arange(n)
    kept = ratings.subset(row_of[ratings.item_rows] >= 0)
    return RatingMatrix(ratings.n_users, n, kept.user_rows, row_of[kept.item_rows], kept.values, kept.rated_at)


def of_blend(question: Question, train: RatingMatrix, asked: list[Asked]) -> tuple[Lists, dict[str, Lists]]:
    """The default lists, and those of each of their segments alone."""
    learner, seconds, note = BlendLearner(question.scale), [], ""
    learned_from = learnable(train, question.scale)  # as a training run reads values of this kind
    runs: dict[str, list[tuple[PerUser, PerUser]]] = {DEFAULT: []}
    for seed in range(question.n_seeds):
        started = time.perf_counter()
        blend = learner.fit(learned_from, np.random.default_rng(seed))
        seconds.append(time.perf_counter() - started)
        runs[DEFAULT].append(lists_of(blend_ranker(blend, train), question, asked))
        for entry in blend.sides.segments:
            alone = blend_ranker(one_segment(blend, entry.name), train)
            runs.setdefault(entry.name, []).append(lists_of(alone, question, asked))
        note = note or ", ".join(f"{entry.name} {entry.weight:g} ({entry.algorithm})" for entry in blend.sides.segments)
    note = f"{note}; fit {np.mean(seconds):.1f} s"
    lists = {}
    for name, of_seeds in runs.items():
        ndcg, hit_rate = np.mean(of_seeds, axis=0)
        lists[name] = Lists(ndcg, hit_rate, note, is_peer=False)
    return lists.pop(DEFAULT), lists


def blend_ranker(blend: Blend, train: RatingMatrix) -> Callable[[RatingMatrix], Score]:
    """Users whose history has grown since training are folded in, as serving does it."""
    return lambda history: (
        blend.scores if history is train else lambda users: blend.scores_of(history.select_users(users))
    )


def one_segment(blend: Blend, name: str) -> Blend:
    """`blend` without the scores of all other segments."""
    (entry,) = (entry for entry in blend.sides.segments if entry.name == name)
    users = np.zeros_like(blend.sides.user_vectors)
    if entry.columns is not None:
        users[:, entry.slice] = blend.sides.user_vectors[:, entry.slice]
    return replace(blend, sides=replace(blend.sides, segments=(entry,), user_vectors=users))


def lists_of(
    ranker: Callable[[RatingMatrix], Score], question: Question, asked: list[Asked], max_users: int | None = None
) -> tuple[PerUser, PerUser]:
    """nDCG@10 and hit rate@10 of every user; at most `max_users`, drawn at random, are asked."""
    measured = np.full((2, len(asked), question.ratings.n_users), np.nan)
    for step, each in enumerate(asked):
        users = users_with_relevant(each.followed, question.relevant_from)
        if max_users is not None and len(users) > max_users:
            users = np.sort(np.random.default_rng(0).choice(users, max_users, replace=False))
        score = ranker(each.history)
        lists = evaluate_ranking(score, users, each.history, each.followed, liked_from=question.relevant_from, k=K)
        measured[:, step, users] = lists.ndcg, lists.hit_rate
    n_lists = np.count_nonzero(~np.isnan(measured), axis=1)
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN: the user was not asked
        ndcg, hit_rate = np.nansum(measured, axis=1) / n_lists
    return ndcg, hit_rate
