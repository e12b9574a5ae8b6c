"""A store with what `reckon demo` serves where MovieLens cannot be downloaded."""

from app.entities import IncomingRatings, User
from app.intake.generated import generate_catalogue
from app.store import Store

N_RATERS = 150


def fill(store: Store) -> None:
    """All items and users of the generated catalogue, the ratings of the first 150 users, an erasure and an import."""
    catalogue = generate_catalogue()
    store.items.record(catalogue.items)
    store.users.record(catalogue.users)
    # So that there is an erasure, as `/docs` fills one in.
    store.users.record([User("deleted")])
    store.users.delete("deleted")
    # As the demo imports its files.
    store.imports.finish(store.imports.begin("generated"), "succeeded", {})
    ratings = catalogue.ratings  # sorted by user
    n = ratings.user_id.index(catalogue.users[N_RATERS].user_id)
    store.ratings.record(
        IncomingRatings(ratings.user_id[:n], ratings.item_id[:n], ratings.value[:n], ratings.rated_at[:n])
    )
