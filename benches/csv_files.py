"""Generates the files of the CSV benchmark, column by column with a fixed seed: csv_files.py FILE ROWS SEED PATH.

`csv_files.py equal A B` compares two results, regardless of quoting.
"""

import datetime
import os
import random
import sys

import duckdb
import polars as pl

from csv_shapes import PLAYS

FIRST_DAY = datetime.date(2024, 1, 1)


def _numbers(rows, seed, low, high):
    """Uniform integers from low (inclusive) to high (exclusive)."""
    state = pl.int_range(rows, eager=True).cast(pl.UInt64).hash(seed=seed)
    return (state % (high - low)).cast(pl.Int64) + low


def _days(rows, seed, days):
    return pl.lit(FIRST_DAY) + pl.duration(days=pl.lit(_numbers(rows, seed, 0, days)))


def _songs(rows, seed, titles):
    return pl.Series("Song", titles, dtype=pl.String).gather(_numbers(rows, seed, 0, len(titles)))


def _frame(rows, seed, titles, days):
    return pl.select(
        pl.lit(_songs(rows, seed, titles)).alias("Song"),
        _days(rows, seed + 1, days).alias("Date"),
        pl.lit(_numbers(rows, seed + 2, 0, 1_000)).alias(PLAYS),
    )


def _short_titles(count):
    return [f"Song number {number}" for number in range(count)]


def _nasty_titles(count):
    """One in twenty contains commas, quotes or line breaks, and so must be quoted."""
    ends = [", live", ' "unplugged"', "\nsecond line", ',"\n']
    return [
        title + (ends[number // 20 % len(ends)] if number % 20 == 0 else "")
        for number, title in enumerate(_short_titles(count))
    ]


def _long_titles(count, seed):
    """20 to 80 bytes of UTF-8."""
    words = ["Ålesund", "night", "Москва", "river", "été", "東京", "dance", "señor", "blue", "again"]
    draw = random.Random(seed)
    titles = []
    for number in range(count):
        title = f"{number:07d}"
        length = draw.randrange(20, 66)
        while len(title.encode()) < length:
            title += " " + draw.choice(words)
        titles.append(title)
    return titles


def _plain(rows, path, seed):
    _frame(rows, seed, _short_titles(1_000), 365).write_csv(path)


def _many_groups(rows, path, seed):
    _frame(rows, seed, _short_titles(40_000), 365).write_csv(path)


def _quoted(rows, path, seed):
    _frame(rows, seed, _nasty_titles(1_000), 365).write_csv(path)


def _all_quoted(rows, path, seed):
    _frame(rows, seed, _short_titles(1_000), 365).write_csv(path, quote_style="always")


def _many_songs(rows, path, seed):
    titles = _long_titles(max(1, rows // 4), seed)
    _frame(rows, seed, titles, 365).write_csv(path)


def _windows(rows, path, seed):
    frame = _frame(rows, seed, _short_titles(1_000), 365)
    frame.write_csv(path, include_bom=True, line_terminator="\r\n")


def _sparse(rows, path, seed):
    """Each song has its own 365 days, scattered over eighty years."""
    songs = _numbers(rows, seed, 0, 1_000)
    # Coprime to the number of days, so that the days of a song differ.
    days = (songs * 7_919 + _numbers(rows, seed + 1, 0, 365) * 104_729) % (80 * 365)
    titles = pl.Series("Song", _short_titles(1_000), dtype=pl.String)
    pl.select(
        pl.lit(titles.gather(songs)).alias("Song"),
        (pl.date(1960, 1, 1) + pl.duration(days=pl.lit(days))).alias("Date"),
        pl.lit(_numbers(rows, seed + 2, 0, 1_000)).alias(PLAYS),
    ).write_csv(path)


def _wide(rows, path, seed):
    """Three grouping columns and two to be summed, among others that are not used."""
    cities = [f"City {number}" for number in range(200)]
    pl.select(
        pl.lit(_numbers(rows, seed, 0, 10**9)).alias("id"),
        pl.lit(_songs(rows, seed + 1, cities)).alias("city"),
        pl.lit("not asked for").alias("note"),
        pl.lit(_numbers(rows, seed + 2, 0, 50)).cast(pl.String).alias("device"),
        _days(rows, seed + 3, 365).alias("day"),
        pl.lit(_numbers(rows, seed + 4, -500, 500)).alias("balance"),
        pl.lit(_numbers(rows, seed + 5, 0, 100_000)).alias("clicks"),
    ).write_csv(path)


def _compressed(rows, path, seed):
    """Like the plain file, but compressed as the suffix of the path says."""
    plain = path + ".plain"
    _plain(rows, plain, seed)
    duckdb.sql(f"COPY (FROM read_csv('{plain}', all_varchar = true)) TO '{path}' (FORMAT csv, HEADER true)")
    os.remove(plain)


def _equal(one, other):
    return pl.read_csv(one, infer_schema=False).equals(pl.read_csv(other, infer_schema=False))


FILES = {
    "plain": _plain,
    "many_groups": _many_groups,
    "quoted": _quoted,
    "all_quoted": _all_quoted,
    "many_songs": _many_songs,
    "windows": _windows,
    "sparse": _sparse,
    "wide": _wide,
    "gzip": _compressed,
    "zstd": _compressed,
}

if __name__ == "__main__":
    if sys.argv[1] == "equal":
        sys.exit(not _equal(*sys.argv[2:]))
    name, rows, seed, path = sys.argv[1:]
    FILES[name](int(rows), path, int(seed))
