"""The table of a project's keys: what all runs together have in chunks of each, kept up to date by triggers.

A list of a project's keys would otherwise look at every series of every run.  Triggers, because whatever
writes a series (the compactor, a repair, a move) then cannot forget it.
"""

# ruff: noqa: S608  (statements are put together from constants of this file only)

from __future__ import annotations

# A key that was logged with several types is shown as the first of these.
_TYPES = "'number histogram media text other'"


def _rank(type_name: str) -> str:
    return f"CASE {type_name} WHEN '' THEN 99 ELSE instr({_TYPES}, {type_name}) END"


def _has_other_kind(row: str) -> str:
    """Say whether the run has points of the key in its series of the other kind."""
    return (
        f"EXISTS (SELECT 1 FROM series WHERE run_no = {row}.run_no AND stream = {row}.stream "
        f"AND kind = 3 - {row}.kind AND key = {row}.key AND n_points > 0)"
    )


def _add(n_points: str, n_runs: str) -> str:
    return f"""
        INSERT INTO keys (stream, key, type, n_points, n_runs, first_step, last_step)
        VALUES (NEW.stream, NEW.key, NEW.type, {n_points}, {n_runs}, NEW.first_step, NEW.last_step)
        ON CONFLICT (stream, key) DO UPDATE SET
            n_points = n_points + excluded.n_points,
            n_runs = n_runs + excluded.n_runs,
            first_step = min(ifnull(first_step, excluded.first_step),
                ifnull(excluded.first_step, first_step)),
            last_step = max(ifnull(last_step, excluded.last_step), ifnull(excluded.last_step, last_step)),
            type = CASE WHEN {_rank("excluded.type")} < {_rank("type")} THEN excluded.type ELSE type END;
    """


STATEMENTS = (
    """
    CREATE TABLE keys (                            -- of all runs together, in chunks; by the triggers below
        key_no INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used again: readers know what is new by it
        stream INTEGER NOT NULL,
        key TEXT NOT NULL,
        type TEXT NOT NULL,
        n_points INTEGER NOT NULL,
        n_runs INTEGER NOT NULL,
        first_step INTEGER,                        -- of any point there ever was, until the last run is gone
        last_step INTEGER,
        UNIQUE (stream, key)
    ) STRICT
    """,
    f"""
    CREATE TRIGGER series_with_points AFTER INSERT ON series WHEN NEW.kind > 0 AND NEW.n_points > 0
    BEGIN {_add("NEW.n_points", f"NOT {_has_other_kind('NEW')}")} END
    """,
    f"""
    CREATE TRIGGER series_with_other_points AFTER UPDATE OF type, n_points, first_step, last_step ON series
    WHEN NEW.kind > 0 AND (NEW.n_points, NEW.type, NEW.first_step, NEW.last_step)
        IS NOT (OLD.n_points, OLD.type, OLD.first_step, OLD.last_step) AND NEW.n_points + OLD.n_points > 0
    BEGIN
        {
        _add(
            "NEW.n_points - OLD.n_points",
            "CASE WHEN (NEW.n_points > 0) = (OLD.n_points > 0) THEN 0 "
            f"ELSE ((NEW.n_points > 0) - (OLD.n_points > 0)) * NOT {_has_other_kind('NEW')} END",
        )
    }
    END
    """,
    f"""
    CREATE TRIGGER series_without_points AFTER DELETE ON series WHEN OLD.kind > 0 AND OLD.n_points > 0
    BEGIN
        UPDATE keys SET n_points = n_points - OLD.n_points, n_runs = n_runs - NOT {_has_other_kind("OLD")}
        WHERE stream = OLD.stream AND key = OLD.key;
        DELETE FROM keys WHERE stream = OLD.stream AND key = OLD.key AND n_runs <= 0;
    END
    """,
)

FILL = f"""
    INSERT INTO keys (stream, key, type, n_points, n_runs, first_step, last_step)
    SELECT stream, key,
        CASE min({_rank("type")}) WHEN 1 THEN 'number' WHEN 8 THEN 'histogram' WHEN 18 THEN 'media'
            WHEN 24 THEN 'text' ELSE 'other' END,
        sum(n_points), count(DISTINCT run_no), min(first_step), max(last_step)
    FROM series WHERE kind > 0 AND n_points > 0 GROUP BY stream, key
"""
