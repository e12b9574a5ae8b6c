"""Headers of public data sets, with rows made up: each is imported as what it is, or refused with the option to try."""

from pathlib import Path

import pytest

from app.errors import InvalidInputError
from app.intake.column_names.columns import Kind
from app.intake.hints import FileHints
from app.intake.layouts import recognise

N_ROWS_OF_CATALOGUE = 1_000

# Of each file the name, the kind, and columns of Reckon with those of the file, whose blanks are written as dashes.
IMPORTED = """
ratings.csv ratings user_id=userId item_id=movieId value=rating rated_at=timestamp
userId,movieId,rating,timestamp
1,31,2.5,1260759144

shop.csv ratings user_id=Customer-ID item_id=Product-SKU value=Stars rated_at=Reviewed-At
Customer ID;Product SKU;Stars;Reviewed At
c1;p1;5;2020-01-01 10:00

BX-Book-Ratings.csv ratings user_id=User-ID item_id=ISBN value=Book-Rating
"User-ID";"ISBN";"Book-Rating"
"27";"034545104X";"0"

reviews_Toys.json ratings user_id=reviewerID item_id=asin value=overall rated_at=unixReviewTime
{"reviewerID": "A1", "asin": "B2", "reviewerName": "Ann", "helpful": [0, 0], "overall": 5.0, "reviewText": "Fine", "summary": "ok", "unixReviewTime": 1375, "reviewTime": "09 13, 2009"}

Toys_2023.jsonl ratings user_id=user_id item_id=asin value=rating rated_at=timestamp
{"rating": 4.0, "title": "ok", "text": "Fine", "asin": "B2", "parent_asin": "B1", "user_id": "A1", "timestamp": 1588687728923, "helpful_vote": 0, "verified_purchase": true}

amazon_us.tsv ratings user_id=customer_id item_id=product_id value=star_rating rated_at=review_date
marketplace\tcustomer_id\treview_id\tproduct_id\tproduct_parent\tproduct_title\tstar_rating\thelpful_votes\ttotal_votes\tverified_purchase\treview_headline\treview_date
US\t18\tR1\tB2\t99\tGame\t5\t0\t0\tY\tFive\t2015-08-31

yelp_review.json ratings user_id=user_id item_id=business_id value=stars rated_at=date
{"review_id": "K1", "user_id": "m1", "business_id": "X1", "stars": 3.0, "useful": 0, "funny": 0, "cool": 0, "text": "If", "date": "2018-07-07 22:09:11"}

google_local.json ratings user_id=user_id item_id=gmap_id value=rating rated_at=time
{"user_id": "1", "name": "Ann", "time": 1609909927056, "rating": 5, "text": "Great", "gmap_id": "0x1:0x2"}

user_artists.dat ratings user_id=userID item_id=artistID value=weight
userID\tartistID\tweight
2\t51\t13883

lastfm_360k.tsv ratings user_id=user_id item_id=artist_mbid value=plays
user_id\tartist_mbid\tartist_name\tplays
u1\tm1\tBand\t2137

goodbooks_ratings.csv ratings user_id=user_id item_id=book_id value=rating
user_id,book_id,rating
1,258,5

to_read.csv ratings user_id=user_id item_id=book_id
user_id,book_id
9,8

goodreads.json ratings user_id=user_id item_id=book_id value=rating rated_at=date_added
{"user_id": "8842", "book_id": "247", "review_id": "5cd4", "rating": 5, "review_text": "Mind", "date_added": "Fri Aug 25", "n_votes": 1, "n_comments": 1}

anime_rating.csv ratings user_id=user_id item_id=anime_id value=rating
user_id,anime_id,rating
1,20,-1

UserAnimeList.csv ratings user_id=username item_id=anime_id value=my_score rated_at=my_last_updated
username,anime_id,my_watched_episodes,my_start_date,my_score,my_status,my_last_updated
kar,21,586,0000-00-00,9,1,1362307973

beer_reviews.csv ratings user_id=review_profilename item_id=beer_beerid value=review_overall rated_at=review_time
brewery_id,brewery_name,review_time,review_overall,review_aroma,review_appearance,review_profilename,beer_style,review_palate,review_taste,beer_name,beer_abv,beer_beerid
1,Vecchio,1234817823,1.5,2,2.5,stc,Hefe,1.5,1.5,Sausa,5,47986

RAW_interactions.csv ratings user_id=user_id item_id=recipe_id value=rating rated_at=date
user_id,recipe_id,date,rating,review
38094,40893,2003-02-17,4,Great

steam_recommendations.csv ratings user_id=user_id item_id=app_id value=is_recommended rated_at=date
app_id,helpful,funny,date,is_recommended,hours,user_id,review_id
975370,0,0,2022-12-12,true,36.3,51580,0

game_purchase.dat ratings user_id=User_ID item_id=Game_ID value=Purchase
User_ID\tGame_ID\tPurchase
1\t1\t1.0

online_retail.csv ratings user_id=CustomerID item_id=StockCode value=Quantity rated_at=InvoiceDate
InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
536365,85123A,HOLDER,6,12/1/2010 8:26,2.55,17850,UK
538172,21562,HAWAII,1,12/13/2010 8:26,3.75,15805,UK

kuairec.csv ratings user_id=user_id item_id=video_id value=play_duration rated_at=timestamp
user_id,video_id,play_duration,video_duration,time,date,timestamp
0,3649,13838,10867,2020-07-05 00:08:23,20200705,1593878903

students.csv ratings user_id=student_id item_id=course_id value=grade
student_id,course_id,grade
s1,c1,7

joke_ratings.csv ratings user_id=user_id item_id=joke_id value=Rating
user_id,joke_id,Rating
1,5,0.219

restaurants.csv ratings user_id=userID item_id=placeID value=rating
userID,placeID,rating,food_rating,service_rating
U1077,135085,2,2,2

hotel_reviews.csv ratings user_id=reviewer_uuid item_id=hotel_id value=Overall-Rating rated_at=Visited-On
reviewer_uuid,hotel_id,Overall Rating,Visited On
a1b2,h7,4,2020-02-02

Spreadsheet.csv ratings user_id=Users item_id=Items value=Ratings
Users,Items,Ratings
ann,heat,4

recbole.inter ratings user_id=user_id item_id=item_id value=rating rated_at=timestamp
user_id:token\titem_id:token\trating:float\ttimestamp:float
1\t2\t3\t4

listens.csv ratings user_id=listener item_id=track_id value=listen_count rated_at=last_played
listener,track_id,listen_count,last_played
ann,t1,5,2020-02-02

webshop.csv ratings user_id=customerNo item_id=articleNo value=qty rated_at=order-date
customerNo,articleNo,qty,order date,order no
7,a1,2,2020-02-02,77

checkins.csv ratings user_id=userId item_id=venueId rated_at=utcTimestamp
userId,venueId,venueCategory,latitude,longitude,utcTimestamp
470,v1,Arts,40.7,-74,Tue Apr 03 18:00:09 +0000 2012
470,v1,Arts,40.7,-74,Tue Apr 03 18:00:09 +0000 2012

retailrocket.csv events user_id=visitorid item_id=itemid type=event at=timestamp
timestamp,visitorid,event,itemid,transactionid
1433221332117,257597,view,355908,

rees46.csv events user_id=user_id item_id=product_id type=event_type at=event_time
event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session
2019-10-01 00:00:00 UTC,view,446,21,,shiseido,35.79,541,72d7

taobao.csv events user_id=user_id item_id=item_id type=behavior_type at=time
user_id,item_id,behavior_type,user_geohash,item_category,time
10,28,1,,51,2014-12-08 18

deskdrop.csv events user_id=personId item_id=contentId type=eventType at=timestamp
timestamp,eventType,contentId,personId,sessionId,userAgent
1465413032,VIEW,-34,-88,12,

item_info.dat items item_id=Game_ID title=Game-Name
Game_ID\tGame Name
1\tThe Elder Scrolls V Skyrim

links.csv items item_id=movieId
movieId,imdbId,tmdbId
1,0114709,862
2,0113497,8844

BX-Books.csv items item_id=ISBN title=Book-Title year=Year-Of-Publication image_url=Image-URL-L
"ISBN";"Book-Title";"Book-Author";"Year-Of-Publication";"Publisher";"Image-URL-L"
"01";"Myth";"Mark";"2002";"Oxford";"http://a"

BX-Users.csv users user_id=User-ID
"User-ID";"Location";"Age"
"1";"nyc, usa";NULL

customers.csv users user_id=customer_id
customer_id,FN,Active,club_member_status,age,postal_code
00db,,1,ACTIVE,49,520f

ml_users.csv users user_id=UserID
UserID,Gender,Age,Occupation,Zip-code
1,F,1,10,48067

meta_Toys.json items item_id=asin title=title categories=categories
{"asin": "B1", "title": "Girls", "price": 3.17, "imUrl": "http://x", "related": {"also_bought": ["B0"]}, "salesRank": {"Toys": 2}, "brand": "Cox", "categories": [["Sports"]]}

meta_2023.jsonl items item_id=parent_asin title=title categories=
{"main_category": "Beauty", "title": "Howard", "average_rating": 4.8, "rating_number": 10, "features": [], "price": null, "store": "Howard", "parent_asin": "B01", "bought_together": null}

colours.csv items item_id=item_id
item_id,colour
a,red
b,blue
c,green

prices.csv items item_id=item_id
item_id,price
a,1
b,2
c,3

countries.csv users user_id=user_id country=country
user_id,country
a,US
a,FI

cars.csv items item_id=item_id title=title
item_id,title,sunroof,launched
a,Golf,yes,1974-05-01
b,Mini,no,1959-08-26

products.csv items item_id=sku title=name
sku,name,doors
a,Golf,3
b,Mini,5
"""  # noqa: E501  a header is one line

# Catalogues with numbers and codes that a log may have too. Their length shows that each row is one entry.
CATALOGUES = """
items item_id=book_id title=title
book_id,goodreads_book_id,best_book_id,work_id,books_count,isbn,isbn13,authors,original_publication_year,title,language_code,average_rating,ratings_count,work_ratings_count,work_text_reviews_count,ratings_1,ratings_2
{n},27{n},27{n},2{n},272,43{n},978{n},Suzanne,2008,Games {n},eng,4.3,4780653,4942365,155254,667{n},127{n}

items item_id=anime_id title=name categories=genre
anime_id,name,genre,type,episodes,rating,members
{n},Kimi {n},Drama,Movie,1,9.37,200{n}

items item_id=app_id title=title
app_id,title,date_release,win,mac,rating,positive_ratio,user_reviews,price_final,discount
{n},Prince {n},2008-11-21,true,false,Positive,84,2199,9.99,0

items item_id=article_id
article_id,product_code,prod_name,product_type_no,product_type_name,graphical_appearance_no,colour_group_code,perceived_colour_value_id,department_no,index_code,section_no,detail_desc
010{n},010,Top,253,Vest,1010016,09,4,1676,A,16,Jersey top

items item_id=business_id title=name
business_id,name,address,city,postal_code,latitude,longitude,stars,review_count,is_open
b{n},Abby {n},1616,SB,93101,34.4,-119.7,5.0,7,0
"""

# Of each file the name, and behind the text the options that the message proposes.
REFUSED = """
reviews.csv
Kunde;Product SKU;Stars;Reviewed At
c1;p1;5;2020-01-01 10:00
c2;p2;4;2020-01-02 11:00
=> --columns user=Kunde,item="Product SKU",rating=Stars,timestamp="Reviewed At"
=> --kind items

hm.csv
t_dat,customer_id,article_id,price,sales_channel_id
2018-09-20,0000a1,0663,0.05,2
=> --columns user=customer_id,item=article_id,timestamp=t_dat

kkbox.csv
msno,song_id,source_system_tab,source_type,target
FG=,BB=,explore,online,1
=> --columns user=msno,item=song_id,rating=target
=> --columns user=msno,item=song_id

instacart.csv
order_id,product_id,add_to_cart_order,reordered
2,33120,1,1
=> --columns user=order_id,item=product_id,rating=reordered
=> --kind items

yoochoose.csv
session_id,timestamp,item_id
1,2014-04-07T10:51:09.277Z,214536502
=> --columns user=session_id,item=item_id,timestamp=timestamp
=> --kind items

personalize.csv
USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE
1,2,1433221332,view,1
=> --kind ratings
=> --kind events

steam.csv
userid,game,behavior,hours
151603712,Skyrim,purchase,1.0
=> --kind ratings
=> --kind events

coursera.csv
reviews,reviewers,date_reviews,rating,course_id
Good,Ann,2020-02-01,5,ml
=> --columns user=reviewers,item=course_id,rating=rating,timestamp=date_reviews
=> --kind items

tmdb.csv
adult,budget,genres,id,imdb_id,original_title,overview,popularity,release_date,title,video,vote_average,vote_count
False,30,[],862,tt01,Toy,Led,21.9,1995-10-30,Toy,False,7.7,5415
=> --kind items
=> --kind users

recipes.csv
name,id,minutes,contributor_id,submitted,tags
arriba,137739,55,47892,2005-09-16,['60']
=> --kind items
=> --kind users

artists.dat
id\tname\turl
1\tMALICE\thttp://a
=> --kind items
=> --kind users

imdb.csv
Rank,Title,Genre,Director,Year,Rating,Votes
1,Guardians,Action,James,2014,8.1,757074
=> --kind items --columns item=Title

wine.csv
country,points,price,taster_name,title,variety
Italy,87,,Kerin,Nicosia 2013,White
=> --columns user=taster_name,item=title,rating=points

u.csv
196,242,3,881250949
186,302,3,891717742
=> --columns user,item,rating,timestamp

log.csv
u12,sku-9,5,2019-02-03 10:00:00
u13,sku-8,4,2019-02-03 10:01:00
=> --columns user,item,rating,timestamp

airbnb_reviews.csv
listing_id,id,date,reviewer_id,reviewer_name,comments
2539,556,2015-12-04,251,Ann,Great
=> --columns user=reviewer_id,item=listing_id,timestamp=date

odd.csv
"a, b",item_id,stars
c1,p1,5
=> --columns 'user="a, b",item=item_id,rating=stars'
"""


def blocks(text: str) -> list[tuple[str, str]]:
    """The first line and the others of each block between blank lines."""
    parts = [block.strip("\n").partition("\n") for block in text.split("\n\n")]
    return [(first, rest) for first, _, rest in parts]


def write(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / name
    path.write_text(text + "\n", encoding="utf-8")
    return path


def check(path: Path, kind: str, roles: list[str]) -> None:
    (table,) = recognise(path).tables
    found = {ours: name.replace(" ", "-") for name, ours in table.names.items()}
    wanted = dict(role.split("=") for role in roles)
    assert table.kind == kind
    assert {ours: found.get(ours, "") for ours in wanted} == wanted


@pytest.mark.parametrize(("expected", "text"), blocks(IMPORTED))
def test_imported(expected: str, text: str, tmp_path: Path) -> None:
    name, kind, *roles = expected.split()
    check(write(tmp_path, name, text), kind, roles)


@pytest.mark.parametrize(("expected", "text"), blocks(CATALOGUES))
def test_long_catalogue(expected: str, text: str, tmp_path: Path) -> None:
    kind, *roles = expected.split()
    header, row = text.splitlines()
    rows = [row.replace("{n}", str(n)) for n in range(1_000, 1_000 + N_ROWS_OF_CATALOGUE)]
    check(write(tmp_path, "table.csv", "\n".join([header, *rows])), kind, roles)
    few = write(tmp_path, "few.csv", "\n".join([header, *rows[:5]]))
    with pytest.raises(InvalidInputError, match=f"--kind {kind}"):
        recognise(few)
    (table,) = recognise(few, FileHints(kind=Kind(kind))).tables
    assert table.kind == kind


@pytest.mark.parametrize(("name", "text"), blocks(REFUSED))
def test_refused(name: str, text: str, tmp_path: Path) -> None:
    lines = text.splitlines()
    options = [line.removeprefix("=> ") for line in lines if line.startswith("=> ")]
    path = write(tmp_path, name, "\n".join(line for line in lines if not line.startswith("=> ")))
    with pytest.raises(InvalidInputError) as refusal:
        recognise(path)
    proposed = str(refusal.value).splitlines()
    for option in options:
        assert [line for line in proposed if line.endswith(f": {option}")], proposed
