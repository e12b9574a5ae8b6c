import json

import pytest

from app.errors import InvalidInputError
from app.training.recipe import Recipe, default_recipe, parse_recipe, rating_recipe, with_tuned


def test_default_recipe() -> None:
    recipe = parse_recipe(None)
    assert [(segment.name, segment.algorithm) for segment in recipe.segments] == [
        ("rating", "auto"),
        ("taste", "auto"),
        ("engagement", "auto"),
        ("popularity", "popularity"),
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


def test_tables_round_trip() -> None:
    tables = [{"algorithm": "knn", "hyperparameters": {"shrinkage": 5}}, {"algorithm": "ease"}]
    recipe = parse_recipe(parse_recipe(None).document | {"tables": tables})
    knn, ease = recipe.tables
    assert (knn.hyperparameters["n_neighbours"], knn.hyperparameters["shrinkage"]) == (50, 5)
    assert ease.hyperparameters == {"regularization": 1.0}
    assert parse_recipe(json.loads(json.dumps(recipe.document))) == recipe
    assert parse_recipe(None).tables == ()


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
        ({"segments": "rating"}, "not a recipe"),
        ({"segments": []}, "rating, popularity must be there"),
        ({"segments": [{"name": "rating", "algorithm": "biases", "params": {}}]}, r"segments.0.params"),
        ({"segments": [], "seed": 3}, "seed"),
        ({"segments": [{"name": "popularity", "algorithm": "popularity"}]}, "rating, popularity must be there"),
        ({"segments": [*reversed(parse_recipe(None).document["segments"])]}, "in this order"),
        ({"segments": [*parse_recipe(None).document["segments"], {"name": "x", "algorithm": "y"}]}, "rating, taste"),
        (parse_recipe(None).document | {"holdout_fraction": 1}, "between 0 and 1"),
        (parse_recipe(None).document | {"tables": [{"algorithm": "als"}]}, "knn, ease"),
        (parse_recipe(None).document | {"tables": [{"algorithm": "ease"}, {"algorithm": "knn"}]}, "in this order"),
        (parse_recipe(None).document | {"tables": [{"algorithm": "knn"}] * 2}, "each once"),
        (parse_recipe(None).document | {"tables": [{"algorithm": "knn", "n": 3}]}, r"tables\.0\.n"),
        (
            parse_recipe(None).document | {"tables": [{"algorithm": "ease", "hyperparameters": {"n_neighbours": 3}}]},
            "regularization",
        ),
        (
            parse_recipe(None).document | {"tables": [{"algorithm": "knn", "hyperparameters": {"n_neighbours": 51}}]},
            "up to 50",
        ),
        (parse_recipe(None).document | {"user_groups": "country"}, "user_groups"),
        (parse_recipe(None).document | {"user_groups": ["plan", "plan"]}, "different names"),
        (parse_recipe(None).document | {"user_groups": [str(n) for n in range(17)]}, "up to 16"),
        (
            {
                "segments": [
                    {"name": "rating", "algorithm": "biases"},
                    {"name": "popularity", "algorithm": "popularity", "hyperparameters": {"a": 1}},
                ]
            },
            "popularity has no",
        ),
    ],
)
def test_no_recipe(document: dict[str, object], problem: str) -> None:
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
