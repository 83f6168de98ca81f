from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import msgspec
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from epochal.errors import DataFolderError, NewerDataFolderError
from epochal.store.metadata import Metadata, migrate
from epochal.store.metadata.tables import schema


def test_the_migrations_end_in_the_tables_that_the_code_uses(metadata: Metadata) -> None:
    with metadata.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema) == []


def test_head_is_the_newest_migration() -> None:
    folder = Path(migrate.__file__).parent / "migrations"

    assert ScriptDirectory(str(folder)).get_current_head() == migrate.HEAD


def test_every_commit_is_on_the_disk_and_readers_do_not_wait(metadata: Metadata) -> None:
    with metadata.write() as writing:
        settings = [
            writing.exec_driver_sql(f"PRAGMA {p}").scalar_one() for p in ("journal_mode", "synchronous")
        ]
        metadata.projects.ensure(writing, "local", "digits", now=1.0)
        assert metadata.projects.count() == 0

    assert settings == ["wal", 2]
    assert metadata.projects.count() == 1


def test_an_exception_undoes_what_was_written(metadata: Metadata) -> None:
    with suppress(ZeroDivisionError), metadata.write() as connection:
        metadata.projects.ensure(connection, "local", "digits", now=1.0)
        _ = 1 / 0

    assert metadata.projects.count() == 0


def test_a_store_that_is_opened_again_has_everything(tmp_path: Path) -> None:
    path = tmp_path / "metadata.db"
    first = Metadata(path)
    with first.write() as connection:
        first.projects.ensure(connection, "local", "digits", now=1.0)
    first.close()

    again = Metadata(path)
    assert again.projects.count() == 1
    again.close()


def test_a_newer_file_is_refused_and_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "metadata.db"
    Metadata(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.execute("PRAGMA journal_mode = DELETE")
    before = path.read_bytes()

    with pytest.raises(NewerDataFolderError, match="9999"):
        Metadata(path)

    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["metadata.db"]


@pytest.mark.parametrize(
    "content", [b"not a database at all, but a text" * 40, b"SQLite format 3\x00" + b"x" * 90]
)
def test_a_file_that_is_not_a_database_is_refused_and_not_changed(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "metadata.db"
    path.write_bytes(content)

    with pytest.raises(DataFolderError, match="cannot be read"):
        Metadata(path)

    assert path.read_bytes() == content


def test_a_database_of_somebody_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "metadata.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")

    with pytest.raises(DataFolderError, match="not Epochal's"):
        Metadata(path)


def test_a_backup_has_what_is_still_in_the_log(tmp_path: Path) -> None:
    store = Metadata(tmp_path / "metadata.db")
    with store.write() as connection:
        store.projects.ensure(connection, "local", "digits", now=1.0)

    migrate.back_up(store.path, tmp_path / "copy.db")
    store.close()

    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        assert copy.execute("SELECT name FROM projects").fetchall() == [("digits",)]


def test_an_older_file_is_copied_before_it_is_upgraded(tmp_path: Path) -> None:
    """Undone by hand to what an older version would have left: the same tables, an older number."""
    path = tmp_path / "metadata.db"
    store = Metadata(path)
    with store.write() as connection:
        for table in reversed(schema.sorted_tables):
            connection.exec_driver_sql(f'DROP TABLE "{table.name}"')
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0000'")
        connection.exec_driver_sql("CREATE TABLE keepsake (x)")
    store.close()

    with pytest.raises(Exception, match="0000"):  # no such migration: the upgrade fails …
        Metadata(path)

    copy = path.with_name(f"metadata.db.before-{migrate.HEAD}")
    with closing(sqlite3.connect(copy)) as connection:  # … and the copy was made before it
        assert connection.execute("SELECT name FROM sqlite_master WHERE name = 'keepsake'").fetchone()
    assert migrate.revision_of(path) == "0000"


def test_the_runs_of_a_store_from_before_there_were_versions_are_all_there(tmp_path: Path) -> None:
    path = tmp_path / "metadata.db"
    older = create_engine(f"sqlite+pysqlite:///{path}")
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    with older.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        connection.exec_driver_sql("INSERT INTO projects VALUES (1, 'local', 'p', 1.0, 2.0)")
        connection.exec_driver_sql(
            "INSERT INTO runs (key, project_key, run_id, name, search_text, created_at, heartbeat_at, n_rows)"
            " VALUES (7, 1, 'r1', 'brave', 'brave r1', 1.0, 2.0, 3)"
        )
        config_data = msgspec.msgpack.encode({"lr": 0.5})
        connection.exec_driver_sql("INSERT INTO documents VALUES (7, 'config', ?)", (config_data,))
    older.dispose()

    store = Metadata(path)
    found = store.runs.get("local", "p", "r1")
    assert found is not None
    assert (found.name, found.n_rows, found.config) == ("brave", 3, {"lr": 0.5})
    for _ in ("from the documents", "from the parts"):
        assert store.fields.read(1, ["config.lr"]).columns["config.lr"].numbers.tolist() == [0.5]
        store.fields.build(1)
    store.close()


def test_the_last_three_copies_from_before_upgrades_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "metadata.db"
    Metadata(path).close()
    for n in range(5):
        (tmp_path / f"metadata.db.before-000{n}").write_bytes(b"a copy")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0000'")

    with pytest.raises(Exception, match="0000"):  # no such migration, but the copy is made before
        Metadata(path)

    copies = sorted(p.name.removeprefix("metadata.db.before-") for p in tmp_path.glob("*.before-*"))
    assert len(copies) == 3
    assert copies[-1] == max("0004", migrate.HEAD)
