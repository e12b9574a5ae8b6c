"""The words by which files name users, items, ratings, times, events and properties; `meanings` reads names by them.

Words are in the singular and in lower case. Sets overlap: which one counts depends on the place of a word in the name.
In the sets with places the order is that of preference: where a file has both, the earlier word counts.
"""


def _ranked(text: str) -> dict[str, int]:
    return {word: place for place, word in enumerate(text.split())}


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


# A user counts before a device, and a track before its artist.
USERS = _ranked(
    """
    user customer reviewer member buyer shopper client subscriber visitor listener viewer reader player gamer student
    learner patient voter rater taster critic consumer borrower patron guest traveller traveler passenger donor account
    profile person persona people household respondent participant employee applicant device cookie
    """
)
ITEMS = _ranked(
    """
    item product sku asin isbn stockcode article track song episode movie film video anime manga game app recipe course
    lesson joke beer wine book comic novel magazine news post story content document paper meme recording restaurant
    hotel venue business listing offer deal advert podcast show series program programme dish meal drink place poi
    location property apartment attraction destination job album playlist artist band channel package tour exercise
    question repo repository plugin artwork painting store shop imdb tmdb tvdb bgg goodreads gmap tconst ean upc gtin
    barcode
    """
)
CODES = _set("sku asin isbn stockcode tconst ean upc gtin barcode")
"""Words for items that are ids without a further word."""

EXTERNAL = _set("imdb tmdb tvdb bgg goodreads gmap tconst ean upc gtin barcode")
"""Catalogues of others, whose ids are properties where an item has an id of its own."""

WEAK = _set(
    """
    client player patient student critic taster guest person persona people respondent participant employee applicant
    novel magazine news post podcast meme artist band album playlist poi attraction dish meal drink
    """
)
"""Words that alone name properties more often than ids."""

PROPERTIES = EXTERNAL - CODES | _set(
    """
    account profile household device cookie story content document paper recording offer deal advert series program
    programme place location property apartment destination job channel package tour exercise question repo repository
    plugin artwork painting store shop
    """
)
"""Words that alone name properties and never ids."""

PARENTS = _set("artist band album channel store shop series show playlist location place podcast business")
"""Items to which other items belong, so that their name is not the title of the item."""

CREATORS = _set("author owner seller vendor host creator contributor uploader publisher supplier merchant")
DEVICES = _set("device cookie")
ID_WORDS = _ranked("id uid uuid guid identifier hash idx mbid pk key code no nr num number index ref")
CODE_WORDS = _set("key code no nr num number index ref")
"""Of `ID_WORDS`, those that also name other numbers."""

ACTIONS = _set(
    """
    order session invoice transaction review event basket cart checkout booking reservation rental loan visit checkin
    interaction impression request receipt payment purchase click feedback rating recommendation helpful comment reply
    remark
    """
)
PARTICIPLES = _set(
    """
    rated reviewed visited watched played listened purchased ordered bought clicked viewed borrowed checked happened
    occurred seen consumed tasted eaten attended booked completed enrolled rented streamed finished voted verified
    """
)
RATINGS = _ranked(
    """
    value rating score star overall grade preference point mark opinion feedback reaction like liked thumb recommended
    vote
    """
)
RATINGS_OF_ITEMS = _set("content age esrb mpaa pegi maturity parental imdb tmdb metacritic meta critic tomato credit")
"""Words before a rating that is a property of an item: a `content_rating` is PG-13, an `imdb_score` is a mean."""

AMOUNTS = _ranked("play playcount listen quantity qty purchase spend spent watch dwell playtime view click download")
OF_AMOUNTS = _set(
    "count time hour minute second duration amount ratio percent percentage frequency number total forever"
)
"""Words behind one of `AMOUNTS`: `watch_time`, `play_count`."""

MEASURES = _ranked("hour duration amount weight count minute second frequency total")
SIZES = _set("duration weight minute second")
"""Of `MEASURES`, those that items have of their own."""

AGGREGATES = _set(
    "average avg mean median total sum number num n no count max min std per bayesian weighted last first"
)
COUNTED = _set("review vote comment")
"""Words whose plural is a count in a table of items."""

TIMES = _ranked("timestamp datetime ts time utc epoch unix local at date on when day")
ENTRY_TIMES = _set("created create creation added submitted submission inserted updated update modified")
"""Words for the time of a row: of an action, or of the making of an item or user."""

TIMES_OF_ENTRIES = _set(
    """
    release released publish published publication launch launched birth born signup sign registration registered join
    joined start end expiry expires available until premiere aired air uploaded upload founded opened opening closing
    scraped crawled since prep cook run screen delivery lead processing trending
    """
)
"""Words for times and durations that are properties of items and users."""

EVENT_TYPES = _ranked("event behavior behaviour action activity interaction type")
TEXTS = _set("tag text body note message")
NAMES = _set("name title nickname username fullname")
FLAGS = _set("is has was")
FILLERS = _set(
    """
    the of a an my in by anonymized anonymised anonymous anon masked unique uniq encrypted ms sec hrs usd eur gbp
    """
)
ATTRIBUTES = _set(
    """
    abv actor address age album amenity artist author availability available band bio birthday brand budget calorie
    cast category city class color colour cost country county cover crew cuisine currency depth description developer
    director discount district edition education email ethnicity format gender genre gross group height image income
    ingredient keyword kind label lang language lat latitude length level link lng lon long longitude manufacturer
    marital material metadata model month nationality neighborhood neighbourhood nutrition occupation origin page phone
    photo picture platform plot popularity postal postcode poster price producer publisher rank ranking region revenue
    runtime season section segment sex shape size state status step stock street studio style subcategory subject
    subtitle summary synopsis theme thumbnail timezone topic type tz uri url variety volume website width writer year
    zip zipcode
    """
)
LOGS = ACTIONS | _set("log history listen")
"""Words in the names of files of ratings and events."""

CATALOGUES = _set("catalog catalogue metadata meta")
"""Words in the names of files of items."""

_LIKED = (
    *("like", "liked", "likes", "love", "loved", "thumbs up", "thumb up", "thumbsup", "up", "upvote", "upvoted"),
    *("recommended", "recommend", "positive", "good", "fresh", "\N{THUMBS UP SIGN}", "\N{HEAVY BLACK HEART}"),
)
_DISLIKED = (
    *("dislike", "disliked", "dislikes", "hate", "hated", "thumbs down", "thumb down", "thumbsdown", "down"),
    *("downvote", "downvoted", "not recommended", "negative", "bad", "rotten", "\N{THUMBS DOWN SIGN}"),
)
OPINION_VALUES = dict.fromkeys(_LIKED, True) | dict.fromkeys(_DISLIKED, False)
"""Values of a column that say whether a user liked an item, with what they say."""

ACTION_VALUES = _set(
    """
    view viewed click clicked open opened play played watch watched buy bought purchase purchased order ordered cart
    addtocart addcart add_to_cart cart_add remove_from_cart transaction fav favorite favourite wishlist share shared
    follow followed skip skipped impression impressed shown pv visit visited checkin search add remove rate rated review
    reviewed comment download downloaded install installed listen listened read bookmark save saved
    """
)
"""Values of a column that say what a user did."""

KNOWN = frozenset().union(
    *(USERS, ITEMS, CREATORS, ID_WORDS, ACTIONS, PARTICIPLES, RATINGS, RATINGS_OF_ITEMS, AMOUNTS, OF_AMOUNTS, MEASURES),
    *(AGGREGATES, TIMES, ENTRY_TIMES, TIMES_OF_ENTRIES, EVENT_TYPES, TEXTS, NAMES, FLAGS, FILLERS, ATTRIBUTES, LOGS),
    *(CATALOGUES, {"active", "eventid", "login", "msno", "postcode", "steamid"}),
)
