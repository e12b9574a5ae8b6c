import json
from typing import Any

import pytest

from app.errors import InvalidInputError
from app.training.recipe import Recipe, default_recipe, parse_recipe, rating_recipe, with_tuned


def test_default_recipe() -> None:
    recipe = parse_recipe(None)
    assert [(segment.name, segment.algorithm) for segment in recipe.segments] == [
        ("rating", "auto"),
        ("taste", "auto"),
        ("engagement", "auto"),
        ("item_item", "auto"),
        ("transitions", "auto"),
        ("popularity", "auto"),
    ]
    assert recipe.holdout_fraction == 0.2


def test_document_round_trip() -> None:
    recipe = rating_recipe("funk_svd", {"n_factors": 7})
    assert recipe.segments[0].hyperparameters["n_factors"] == 7
    assert parse_recipe(json.loads(json.dumps(recipe.document))) == recipe


def test_groups_round_trip() -> None:
    recipe = parse_recipe(parse_recipe(None).document | {"user_groups": ["plan", "country"]})
    assert recipe.user_groups == ("plan", "country")
    assert parse_recipe(json.loads(json.dumps(recipe.document))) == recipe
    assert parse_recipe(None).user_groups == ("country",)


def test_former_tables_are_ignored() -> None:
    """Recipes of earlier releases may list tables, which are segments now."""
    document = parse_recipe(None).document
    assert parse_recipe(document | {"tables": [{"algorithm": "knn"}]}) == parse_recipe(document | {"tables": []})
    assert parse_recipe(document | {"tables": []}) == parse_recipe(None)


def test_item_text_round_trip() -> None:
    recipe = parse_recipe(parse_recipe(None).document | {"item_text": "tfidf"})
    assert recipe.item_text == "tfidf"
    assert parse_recipe(json.loads(json.dumps(recipe.document))) == recipe
    assert parse_recipe(None).item_text is None


def test_former_name_is_accepted() -> None:
    """Recipes of earlier releases say `prior`; what comes of them says `popularity`."""
    former = {"segments": [{"name": "rating", "algorithm": "biases"}, {"name": "prior", "algorithm": "popularity"}]}
    recipe = parse_recipe(former)
    assert recipe == rating_recipe("biases")
    assert [segment["name"] for segment in recipe.document["segments"]] == ["rating", "popularity"]
    both = [*former["segments"], {"name": "popularity", "algorithm": "popularity"}]
    with pytest.raises(InvalidInputError, match="in this order"):
        parse_recipe({"segments": both})


def test_short_document_is_completed() -> None:
    document = {
        "segments": [{"name": "rating", "algorithm": "funk_svd"}, {"name": "popularity", "algorithm": "popularity"}]
    }
    assert parse_recipe(document) == rating_recipe("funk_svd")


def test_unknown_algorithm_names_right_ones() -> None:
    with pytest.raises(InvalidInputError, match=r"'magic'.*biases.*funk_svd"):
        rating_recipe("magic")


def test_unknown_hyperparameter_names_right_ones() -> None:
    with pytest.raises(InvalidInputError, match=r"n_factors"):
        rating_recipe("funk_svd", {"factors": 7})


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({}, "not a recipe"),
        ([], "not a recipe: 'the whole'"),
        ({"segments": "rating"}, "not a recipe"),
        ({"segments": []}, "rating, popularity must be there"),
        ({"segments": [{"name": "rating", "algorithm": "biases", "params": {}}]}, r"segments.0.params"),
        ({"segments": [], "seed": 3}, "seed"),
        ({"segments": [{"name": "popularity", "algorithm": "popularity"}]}, "rating, popularity must be there"),
        ({"segments": [*reversed(parse_recipe(None).document["segments"])]}, "in this order"),
        ({"segments": [*parse_recipe(None).document["segments"], {"name": "x", "algorithm": "y"}]}, "rating, taste"),
        (parse_recipe(None).document | {"holdout_fraction": 1}, "between 0 and 1"),
        (parse_recipe(None).document | {"tables": [], "table": []}, "'table': Unexpected"),
        (parse_recipe(None).document | {"user_groups": "country"}, "user_groups"),
        (parse_recipe(None).document | {"item_text": "bert"}, "item_text"),
        (parse_recipe(None).document | {"user_groups": ["plan", "plan"]}, "different names"),
        (parse_recipe(None).document | {"user_groups": [str(n) for n in range(17)]}, "up to 16"),
        (
            {
                "segments": [
                    {"name": "rating", "algorithm": "biases"},
                    {"name": "popularity", "algorithm": "popularity", "hyperparameters": {"a": 1}},
                ]
            },
            "popularity takes half_life_days",
        ),
    ],
)
def test_no_recipe(document: Any, problem: str) -> None:
    with pytest.raises(InvalidInputError, match=problem):
        parse_recipe(document)


def test_recipes_compare_by_content() -> None:
    assert rating_recipe("biases") == rating_recipe("biases")
    assert isinstance(rating_recipe("biases"), Recipe)
    assert rating_recipe("funk_svd") != rating_recipe("funk_svd", {"n_factors": 3})


def test_other_segments_stay() -> None:
    recipe = with_tuned(rating_recipe("funk_svd"), "biases", {"regularization": 0.3})
    assert [segment.algorithm for segment in recipe.segments] == ["biases", "popularity"]


def test_taste_is_another_segment() -> None:
    rating, taste, *others = with_tuned(default_recipe(), "als_implicit", {"n_factors": 16}).segments
    assert [rating, *others] == [default_recipe().segments[0], *default_recipe().segments[2:]]
    assert (taste.algorithm, taste.hyperparameters["n_factors"]) == ("als_implicit", 16)
