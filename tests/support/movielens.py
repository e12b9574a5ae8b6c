"""Small data sets in the layouts of MovieLens, written as their publisher writes them."""

from pathlib import Path


def write_latest(folder: Path) -> Path:
    """ml-latest: CSV with headers."""
    folder.mkdir(exist_ok=True)
    (folder / "ratings.csv").write_text(
        "userId,movieId,rating,timestamp\n1,1,4.0,964982703\n1,3,0.5,964981247\n2,1,5.0,1445714835\n"
    )
    (folder / "movies.csv").write_text(
        "movieId,title,genres\n"
        "1,Toy Story (1995),Adventure|Animation\n"
        '3,"American President, The (1995)",Comedy|Drama\n'
        '4,"""Great Performances"" Cats (1998)",Musical\n'
        "5,Pok\u00e9mon the Series (2006\u20132007) ,(no genres listed)\n"
        "6,Babylon 5,Sci-Fi\n",
        encoding="utf-8",
    )
    (folder / "tags.csv").write_text("userId,movieId,tag,timestamp\n2,1,funny,1445714994\n")
    (folder / "links.csv").write_text("movieId,imdbId,tmdbId\n1,0114709,862\n")
    (folder / "README.txt").write_text("Summary\n")
    return folder


def write_1m(folder: Path) -> Path:
    """ml-1m: `::`, Latin-1."""
    folder.mkdir(exist_ok=True)
    (folder / "ratings.dat").write_text("1::1193::5::978300760\n2::661::3::978302109\n")
    (folder / "movies.dat").write_bytes(
        "1193::One Flew Over the Cuckoo's Nest (1975)::Drama\n661::Misérables, Les (1995)::Drama|Musical\n".encode(
            "latin-1"
        )
    )
    (folder / "users.dat").write_text("1::F::1::10::48067\n2::M::56::16::70072\n")
    return folder


def write_100k(folder: Path, *, with_genres: bool = True) -> Path:
    """ml-100k: tabs and bars, Latin-1."""
    folder.mkdir(exist_ok=True)
    (folder / "u.data").write_text("196\t242\t3\t881250949\n186\t302\t3\t891717742\n")
    (folder / "u1.base").write_text("1\t1\t5\t874965758\n")
    (folder / "u1.test").write_text("1\t6\t5\t887431973\n")
    (folder / "u.item").write_bytes(
        (
            "242|Kolya (1996)|24-Jan-1997||http://us.imdb.com/M/title-exact?Kolya%20(1996)"
            "|0|0|0|0|0|1|0|0|0|0|0|0|0|0|0|0|0|0|0\n"
            "302|Cité des enfants perdus, La (V)|01-Jan-1995|||0|1|0|0|0|0|0|0|0|0|0|0|0|0|0|1|0|0|0\n"
            "267|unknown||||1|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0\n"
        ).encode("latin-1")
    )
    (folder / "u.user").write_text("196|49|M|writer|55105\n186|39|F|executive|V1G4L\n")
    if with_genres:
        names = ["unknown", "Action", "Adventure", "Animation", "Kids", "Comedy", "Crime", "Documentary", "Drama"]
        names += ["Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War"]
        names += ["Western"]
        (folder / "u.genre").write_text("".join(f"{name}|{place}\n" for place, name in enumerate(names)) + "\n")
    return folder
