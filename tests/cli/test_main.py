"""The command line says what it does, what went wrong, and what to do."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest

from epochal._version import __version__
from epochal.cli.main import build_parser, main
from epochal.cli.options import add_options, option_name, settings_from
from epochal.server.settings import ServerSettings, settings

ROOT = Path(__file__).parents[2]


def test_the_reference_page_is_what_the_help_says() -> None:
    command = [sys.executable, "scripts/write_cli_reference.py", "--print"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    written = (ROOT / "docs" / "reference" / "cli.md").read_text()
    assert written == said, "run: python scripts/write_cli_reference.py"


def test_every_setting_of_a_server_is_an_option_of_epochal_server(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["server", "--help"])
    text = capsys.readouterr().out

    assert [s.name for s in settings() if option_name(s) not in text] == []


def test_without_options_a_server_has_the_declared_defaults() -> None:
    assert settings_from(build_parser().parse_args(["server"])) == ServerSettings()
    assert settings_from(build_parser().parse_args(["ui"])) == ServerSettings()


def test_options_become_settings_of_their_types() -> None:
    line = "server --port 0 --host 0.0.0.0 --runs-dir a --runs-dir b --allow-host x --data-dir d"
    line += " --body-timeout-s 1.5"

    assert settings_from(build_parser().parse_args(line.split())) == ServerSettings(
        port=0,
        host="0.0.0.0",
        runs_dir=(Path("a"), Path("b")),
        allow_host=("x",),
        body_timeout_s=1.5,
        data_dir=Path("d"),
    )


def test_a_repeated_option_does_not_change_the_next_command() -> None:
    for _ in range(2):
        parser = argparse.ArgumentParser()
        add_options(parser)
        assert settings_from(parser.parse_args(["--runs-dir", "a"])).runs_dir == (Path("a"),)


def test_without_a_command_the_help_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "epochal ui" in capsys.readouterr().out


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"epochal {__version__}\n"


def test_a_link_without_a_server_says_how_to_start_one(
    epochal_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["link"]) == 1

    said = capsys.readouterr().err
    assert "No Epochal server is running" in said
    assert "epochal ui" in said
    assert not epochal_home.exists()


def test_without_the_server_extra_one_line_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "hide.py").write_text(
        "import importlib.util, sys\n"
        "found = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *a: None if name == 'starlette' else found(name, *a)\n"
        "from epochal.cli.main import main\n"
        "sys.exit(main(['ui']))\n"
    )
    done = subprocess.run(
        [sys.executable, str(tmp_path / "hide.py")], capture_output=True, text=True, env=dict(os.environ)
    )

    assert done.returncode == 1
    assert done.stderr == (
        "epochal: The server is not installed here. Install it: pip install 'epochal[server]'\n"
    )


def test_the_help_imports_nothing_of_the_server() -> None:
    code = (
        "import sys\n"
        "from epochal.cli.main import build_parser\n"
        "build_parser().format_help()\n"
        "print({m.split('.')[0] for m in sys.modules} & {'numpy', 'starlette', 'sqlalchemy', 'graphql'})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "set()\n"
