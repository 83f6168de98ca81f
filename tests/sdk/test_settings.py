"""Settings: their spellings, where they come from, and which source wins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import epochal
from epochal.sdk.environment_variables import settings_from_environment
from epochal.sdk.settings import SETTINGS, Settings
from epochal.sdk.settings_page import page


@pytest.mark.parametrize(
    ("given", "name", "value"),
    [
        ({"_stats_sample_rate_seconds": 0.1}, "x_stats_sampling_interval", 0.1),
        ({"_stats_sampling_interval": 0.001}, "x_stats_sampling_interval", 0.1),
        ({"x_stats_sampling_interval": "2"}, "x_stats_sampling_interval", 2.0),
        ({"_disable_stats": "true"}, "x_disable_stats", True),
        ({"_internal_queue_size": 100}, "x_internal_queue_size", 100),
        ({"mode": "dryrun"}, "mode", "offline"),
        ({"resume": True}, "resume", "auto"),
        ({"run_tags": "a, b"}, "run_tags", ("a", "b")),
    ],
)
def test_old_spellings_and_texts_act(given: dict[str, Any], name: str, value: Any) -> None:
    assert getattr(Settings(**given), name) == value


def test_an_unknown_setting_is_accepted_with_one_notice(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        settings = Settings(_async_upload_concurrency_limit=3)

    assert settings._async_upload_concurrency_limit == 3
    assert capsys.readouterr().err.count("_async_upload_concurrency_limit") == 1


def test_a_setting_that_changes_nothing_says_so_once(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        Settings(start_method="fork")

    assert capsys.readouterr().err.count("start_method") == 1


@pytest.mark.parametrize(
    "wrong", [{"mode": "x"}, {"x_stats_sampling_interval": "soon"}, {"quiet": "perhaps"}]
)
def test_a_value_that_cannot_be_read_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(epochal.UsageError, match=next(iter(wrong))):
        Settings(**wrong)


def test_each_source_wins_over_the_one_before(epochal_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def project(**arguments: Any) -> str:
        run = epochal.init(**arguments)
        run.finish()
        return run.project

    assert project() == "uncategorized"
    epochal_home.mkdir(exist_ok=True)
    (epochal_home / "settings").write_text("[default]\n# where\nproject = home\nentity = team\n")
    assert project() == "home"
    Path("epochal").mkdir()
    Path("epochal/settings").write_text("project=folder\n")
    assert project() == "folder"
    monkeypatch.setenv("WANDB_PROJECT", "theirs")
    assert project() == "theirs"
    monkeypatch.setenv("EPOCHAL_PROJECT", "ours")
    assert project() == "ours"
    epochal.setup({"project": "setup"})
    assert project() == "setup"
    assert project(settings={"project": "settings"}) == "settings"
    assert project(settings=Settings(project="settings"), project="argument") == "argument"
    assert epochal.init().entity == "team"


VARIABLES = [
    ("WANDB_NAME", "n", "run_name", "n"),
    ("WANDB_NOTES", "n", "run_notes", "n"),
    ("WANDB_TAGS", "a,b", "run_tags", ("a", "b")),
    ("WANDB_RUN_ID", "r", "run_id", "r"),
    ("WANDB_RUN_GROUP", "g", "run_group", "g"),
    ("WANDB_JOB_TYPE", "j", "run_job_type", "j"),
    ("WANDB_DIR", "/d", "root_dir", "/d"),
    ("WANDB_MODE", "offline", "mode", "offline"),
    ("WANDB_RESUME", "allow", "resume", "allow"),
    ("WANDB_REINIT", "true", "reinit", "finish_previous"),
    ("WANDB_SILENT", "true", "silent", True),
    ("WANDB_CONSOLE", "off", "console", "off"),
    ("WANDB__DISABLE_STATS", "true", "x_disable_stats", True),
    ("WANDB_X_LABEL", "rank1", "x_label", "rank1"),
    ("EPOCHAL_BASE_URL", "http://a", "base_url", "http://a"),
    ("EPOCHAL_API_KEY", "k", "api_key", "k"),
]


@pytest.mark.parametrize(("variable", "text", "name", "value"), VARIABLES)
def test_a_variable_sets(variable: str, text: str, name: str, value: Any) -> None:
    assert settings_from_environment({variable: text}).given() == {name: value}
    if variable.startswith("WANDB_"):
        own = variable.replace("WANDB_", "EPOCHAL_")
        assert settings_from_environment(
            {own: text, variable: "x" if name == "run_name" else text}
        ).given() == {name: value}


@pytest.mark.parametrize("variable", ["WANDB_BASE_URL", "WANDB_API_KEY"])
def test_an_address_and_a_key_of_the_stock_client_are_never_taken(variable: str) -> None:
    assert settings_from_environment({variable: "secret"}).given() == {}


def test_empty_unknown_and_unreadable_variables_set_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    environ = {
        "WANDB_PROJECT": "",
        "WANDB_LOG_MODEL": "end",
        "WANDB_DISABLED": "true",
        "WANDB_MODE": "perhaps",
    }

    assert settings_from_environment(environ).given() == {}
    assert "WANDB_MODE is ignored" in capsys.readouterr().err


def test_an_api_key_is_not_shown() -> None:
    assert "secret" not in repr(Settings(api_key="secret"))


def test_the_page_of_settings_is_generated_from_the_list() -> None:
    path = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"

    assert path.read_text() == page(), "run: python -m epochal.sdk.settings_page > docs/reference/settings.md"


def test_every_setting_has_one_line_of_help() -> None:
    for name, setting in SETTINGS.items():
        assert setting.help_text.endswith("."), name
        assert "\n" not in setting.help_text


def test_a_copy_is_independent() -> None:
    settings = Settings(project="a")
    twin = settings.copy()
    twin.project = "b"

    assert (settings.project, twin.project) == ("a", "b")
