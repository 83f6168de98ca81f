from __future__ import annotations

import pytest

from epochal.base.secrets import mask_command, without_credentials

KEY40 = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("given", "recorded"),
    [
        (["--api-key", "abcd"], ["--api-key", "***"]),
        (["--api_key=abcd"], ["--api_key=***"]),
        (["--apiKey", "abcd"], ["--apiKey", "***"]),
        (["--token=abc"], ["--token=***"]),
        (["--hf-token", "abc", "--lr", "1"], ["--hf-token", "***", "--lr", "1"]),
        (["--hub_token", "abc"], ["--hub_token", "***"]),
        (["--password", "hunter2"], ["--password", "***"]),
        (["--db.passwd", "hunter2"], ["--db.passwd", "***"]),
        (["--client-secret", "s"], ["--client-secret", "***"]),
        (["--aws-access-key-id", "x", "--aws-secret-access-key", "y"],
         ["--aws-access-key-id", "***", "--aws-secret-access-key", "***"]),
        (["wandb.api_key=abc"], ["wandb.api_key=***"]),
        (["+logger.wandb.api_key=abc"], ["+logger.wandb.api_key=***"]),
        (["WANDB_API_KEY=abc", "python"], ["WANDB_API_KEY=***", "python"]),
        (["--wandb_key", KEY40], ["--wandb_key", "***"]),
        (["--header", "Authorization: Bearer abcdefgh"], ["--header", "Authorization: Bearer ***"]),
        (["--cfg", '{"api_key": "abc", "lr": 1}'], ["--cfg", '{"api_key": "***", "lr": 1}']),
        (["-c", "import x; x.login(password='hi there')"], ["-c", "import x; x.login(password='***')"]),
        (["--db", "postgresql://me:pw@host/db"], ["--db", "postgresql://***@host/db"]),
        (["--url", "https://h/x?token=abc&page=1"], ["--url", "https://h/x?token=***&page=1"]),
        (["sk-abcdefghijklmnop1234"], ["***"]),
        (["--x=sk-proj-abcdefghijklmnop1234"], ["--x=***"]),
        (["hf_abcdefghijklmnopqrst"], ["***"]),
        (["ghp_abcdefghijklmnopqrst"], ["***"]),
        (["github_pat_" + "a" * 30], ["***"]),
        (["AKIAIOSFODNN7EXAMPLE"], ["***"]),
        (["local-" + KEY40], ["***"]),
        (["eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.sflKxwRJSM"], ["***"]),
        (["-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----"], ["***"]),
    ],
)  # fmt: skip
def test_a_secret_in_a_command_line_is_not_recorded(given: list[str], recorded: list[str]) -> None:
    assert mask_command(given) == recorded


@pytest.mark.parametrize(
    "command",
    [
        ["python", "train.py", "--lr", "0.1", "--epochs=3", "data/train.csv"],
        ["--max-tokens", "512", "--num_tokens=4", "--tokenizer", "gpt2", "--tokens-per-sample", "2048"],
        ["--pad-token", "<pad>", "--eos_token=</s>"],
        ["--monitor-key", "val/loss", "--key", "accuracy"],
        ["--commit", KEY40],
        ["--password-file", "/run/secrets/db"],
        ["--use-auth", "--auth=true", "--token", "--verbose"],
        ["optimizer.name=adam", "+trainer.max_epochs=3", "~callbacks"],
        ["git@github.com:user/repo.git", "ssh://git@github.com/user/repo"],
        ["--note", "risk-aware disk-usage task"],
    ],
)
def test_what_is_no_secret_stays_so_that_a_run_can_be_repeated(command: list[str]) -> None:
    assert mask_command(command) == command


@pytest.mark.parametrize(
    ("remote", "recorded"),
    [
        ("https://user:pw@github.com/x/y.git", "https://github.com/x/y.git"),
        ("https://ghp_abcdefghijklmnopqrst@github.com/x", "https://github.com/x"),
        ("https://oauth2:glpat-abcdefghijklmnopqrst@gitlab.com/x", "https://gitlab.com/x"),
        ("https://us%40er:p%40w@host/x", "https://host/x"),
        ("git@github.com:x/y.git", "git@github.com:x/y.git"),
        ("ssh://git:pw@host:22/x", "ssh://git@host:22/x"),
        ("https://host/x?private_token=abc", "https://host/x?private_token=***"),
        ("../elsewhere", "../elsewhere"),
    ],
)
def test_a_git_remote_is_recorded_without_credentials(remote: str, recorded: str) -> None:
    assert without_credentials(remote) == recorded
