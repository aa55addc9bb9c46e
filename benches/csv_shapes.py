"""The files and aggregations of the CSV benchmark. Imports nothing, since the process that measures must stay
small: see `whole_process`."""

PLAYS = "Number of Plays"


class Shape:
    """A file and an aggregation of it."""

    def __init__(
        self,
        name,
        what,
        file,
        group_by=("Song", "Date"),
        sums=(PLAYS,),
        limit=None,
        columns=("Song", "Date", PLAYS),
        ending="csv",
    ):
        self.name = name
        self.what = what
        # The name of the file in csv_files.py.
        self.file = file
        self.group_by = list(group_by)
        self.sums = list(sums)
        # The memory limit in MiB; None for the default of each program.
        self.limit = limit
        # The columns of the file.
        self.columns = list(columns)
        self.ending = ending


SHAPES = [
    Shape("a", "1,000 songs, 365 dates", "plain"),
    Shape("b", "40,000 songs, 365 dates", "many_groups"),
    Shape("c", "as a, 5 % quoted", "quoted"),
    Shape("d", "many long titles", "many_songs"),
    Shape("e", "CRLF and BOM", "windows"),
    Shape("f", "sparse dates", "sparse"),
    Shape(
        "g",
        "3 groups, 2 sums",
        "wide",
        ("city", "device", "day"),
        ("balance", "clicks"),
        columns=("id", "city", "note", "device", "day", "balance", "clicks"),
    ),
    Shape("h-gz", "as a, by gzip", "gzip", ending="csv.gz"),
    Shape("h-zst", "as a, by zstd", "zstd", ending="csv.zst"),
    Shape("q", "as a, all quoted", "all_quoted"),
    Shape("b256", "b within 256 MiB", "many_groups", limit=256),
    Shape("d256", "d within 256 MiB", "many_songs", limit=256),
]
