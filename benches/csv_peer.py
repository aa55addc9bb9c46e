"""Runs one aggregation with one of the peers, as a whole process: csv_peer.py PEER JOB.

JOB is JSON: input, columns, output, group_by, sums, limit (MiB or null). The types of the columns are passed
to the peers as precisely as possible, so that none of them has to infer a schema.
"""

import json
import sys

DAYS = ("Date", "day")


def _duckdb(job):
    import duckdb

    connection = duckdb.connect()
    if job["limit"]:
        connection.execute(f"SET memory_limit = '{job['limit']}MiB'")
        connection.execute("SET preserve_insertion_order = false")
    types = {name: "DATE" if name in DAYS else "VARCHAR" for name in job["group_by"]}
    types |= {name: "BIGINT" for name in job["sums"]}
    groups = ", ".join(f'"{name}"' for name in job["group_by"])
    sums = ", ".join(f'SUM("{name}") AS "{name}"' for name in job["sums"])
    connection.execute(
        f"COPY (SELECT {groups}, {sums} FROM read_csv('{job['input']}', header = true, "
        f"types = {types}) GROUP BY {groups} ORDER BY {groups}) "
        f"TO '{job['output']}' (FORMAT csv, HEADER true)"
    )


def _polars(job):
    import polars as pl

    types = {name: pl.Date if name in DAYS else pl.String for name in job["group_by"]}
    types |= {name: pl.Int64 for name in job["sums"]}
    (
        pl.scan_csv(job["input"], schema_overrides=types)
        .group_by(job["group_by"])
        .agg(pl.col(name).sum() for name in job["sums"])
        .sort(job["group_by"])
        .sink_csv(job["output"], engine="streaming")
    )


def _chdb(job):
    import chdb

    kinds = {name: "Int64" for name in job["sums"]} | {name: "Date32" for name in DAYS}
    columns = ", ".join(f"`{name}` {kinds.get(name, 'String')}" for name in job["columns"])
    groups = ", ".join(f"`{name}`" for name in job["group_by"])
    sums = ", ".join(f"sum(`{name}`) AS `{name}`" for name in job["sums"])
    limit = f", max_bytes_before_external_group_by = {job['limit'] * 2**19}" if job["limit"] else ""
    result = chdb.query(
        f"SELECT {groups}, {sums} FROM file('{job['input']}', CSVWithNames, '{columns}') "
        f"GROUP BY {groups} ORDER BY {groups} SETTINGS format_csv_allow_single_quotes = 0{limit}",
        "CSVWithNames",
    )
    with open(job["output"], "wb") as file:
        file.write(result.bytes())


if __name__ == "__main__":
    {"duckdb": _duckdb, "polars": _polars, "chdb": _chdb}[sys.argv[1]](json.loads(sys.argv[2]))
