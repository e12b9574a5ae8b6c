"""What the name of a column says by itself."""

import pytest

from app.intake.column_names.meanings import meaning_of

ROLES = """
USER: user_id, User-ID, userId, visitorid, reviewerID, customerNo, reviewer_uuid, Customer ID, member_no, buyer, msno
USER: profile_id, id_user, user_id:token, personId, username, customer_unique_id, review_profilename, device_id
ITEM: item_id, movieId, Product SKU, sku, asin, parent_asin, ISBN, isbn13, goodreads_book_id, StockCode, gmap_id, imdbId
ITEM: beer_beerid, itemIdx, contentId, location_id, venue_id, artist, Items, app_id, product_code
TITLE: title, name, movie_title, Book-Title, Game Name, productName
RATING: rating, Stars, Book-Rating, overall, review_overall, my_score, grade, is_recommended, likes, points, value
AMOUNT: hours played, secondsListened
AMOUNT: plays, play_count, Quantity, qty, watch_time, time_spent, playtime_forever, order_qty, event_value
MEASURE: hours, count, weight, duration_ms, item_count
AGGREGATE: average_rating, ratings_count, rating_number, vote_average, num_reviews, content_rating, imdb_score, votes
AGGREGATE: users_rated, reviews, reviews_per_month, number_of_reviews
ACTION_TIME: timestamp, time, utc_time, rated_at, Reviewed At, rated on, order date, unixReviewTime, date_rated
ACTION_TIME: event_time, InvoiceDate, date_reviews
ENTRY_TIME: created_at, added_at, submission_time, updated, my_last_updated, last_played, last_login
OWN_TIME: release_date, birthdate, signup_date, publish_date, prep_time, yelping_since
DATE: date, day, qzx_date
EVENT_TYPE: event, event_type, behavior_type, action, type, user_action
ACTION_ID: order_id, session_id, InvoiceNo, review_id, transactionid
OF_ACTION: review_text, order_status, visited, helpful_votes, verified_purchase, comment
CREATOR: author_id, seller_id, host_id, authorPersonId
OF_USER: user_country, customer_city, reviewer_age
OF_ITEM: movie_genre, venueCategory, favourite_book, video_duration
ATTRIBUTE: colour, price, zip_code, category_id, is_available, author, Location, phone_number, brand, job
ATTRIBUTE: original_title, image_url, Image-URL-S
OTHER_ID: id, work_id, uuid, brewery_id
UNKNOWN: Kunde, qzx, t_dat, ratings_1, user_1, v, \N{LATIN CAPITAL LETTER U WITH DIAERESIS}ber, station, carat
"""


@pytest.mark.parametrize("line", ROLES.strip().splitlines())
def test_roles(line: str) -> None:
    role, _, names = line.partition(": ")
    assert {name: meaning_of(name).role.name for name in names.split(", ")} == dict.fromkeys(names.split(", "), role)


@pytest.mark.parametrize(
    "names",
    [
        ("user_id", "user_uuid", "userNo", "user"),
        ("user_id", "customer_id", "visitor_id", "device_id"),
        ("track_id", "album_id", "artist_id"),
        ("book_id", "isbn", "best_book_id", "goodreads_book_id"),
        ("asin", "parent_asin"),
        ("rating", "score", "overall"),
        ("unixReviewTime", "reviewTime", "timestamp", "time", "date", "created_at"),
    ],
)
def test_specific_before_vague(names: tuple[str, ...]) -> None:
    ranks = [meaning_of(name).rank for name in names]
    assert ranks == sorted(ranks)
    assert len(set(ranks)) == len(ranks)
