"""Children of a training process: forked, spawned, data-loading workers.  None of them ever waits for us."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

Start = Callable[..., Any]

# Forking a process that has threads is what these drills are about; newer Pythons warn of it.
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="not run: reads /proc"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded"),
]

POOL = """
import gc, multiprocessing, os, sys
import epochal as wandb

def child(how, run):
    gc.collect()
    print("child")
    {in_child}
    if how == "exception":
        raise ValueError("in the child")
    if how == "exit":
        os._exit(0)

if __name__ == "__main__":
    context = multiprocessing.get_context("{method}")
    run = None
    {before}
    children = [context.Process(target=child, args=(how, None)) for how in ("return", "exception", "exit")]
    for process in children:
        process.start()
    {after}
    for process in children:
        process.join(30)
        assert process.exitcode is not None, "a child hangs"
    print("exit codes", [process.exitcode for process in children])
    wandb.log({{"loss": 2.0}})
"""
INIT = 'run = wandb.init(project="drill"); wandb.log({"loss": 1.0})'


@pytest.mark.parametrize("order", ["init before", "init after"])
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_child_that_does_not_log_disturbs_nothing(train: Start, method: str, order: str) -> None:
    before, after = (INIT, "pass") if order == "init before" else ("pass", INIT)
    training = train(POOL.format(method=method, before=before, after=after, in_child="pass"))

    assert training.wait(60) == 0, training.errors
    assert "exit codes [0, 1, 0]" in training.output
    assert training.folder().end()["state"] == "finished"
    assert training.folder().values("loss") == [1.0, 2.0]


def test_what_forked_children_log_is_in_the_run(train: Start) -> None:
    """A child ended by os._exit runs no clean-up at all; its rows are there all the same."""
    script = POOL.format(method="fork", before=INIT, after="pass", in_child='wandb.log({"part": 7.0})')
    training = train(script)

    assert training.wait(60) == 0, training.errors
    assert training.folder().end()["state"] == "finished"
    assert training.folder().values("loss") == [1.0, 2.0]
    assert training.folder().values("part") == [7.0, 7.0, 7.0]


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_child_may_have_a_run_of_its_own(train: Start, method: str) -> None:
    script = POOL.format(
        method=method,
        before="pass",
        after="pass",
        in_child='run = wandb.init(project="drill"); run.log({"loss": 1.0})',
    ).replace('wandb.log({"loss": 2.0})', "")
    training = train(script)

    assert training.wait(60) == 0, training.errors
    ends = [folder.end() for folder in training.folders()]
    # multiprocessing ends its forked children by os._exit, with the code that the child earned.
    assert sorted(end["state"] for end in ends) == ["failed", "finished", "finished"]
    assert [folder.values("loss") for folder in training.folders()] == [[1.0]] * 3


def test_the_parent_s_end_is_recorded_while_a_forked_child_lives_on(train: Start) -> None:
    script = """
import os, sys, time
import epochal as wandb
wandb.init(project="drill")
if os.fork() == 0:
    sys.stdin.readline()
    os._exit(0)
os._exit(4)
"""
    training = train(script)
    training.process.wait(30)

    assert training.folder().end()["exit_code"] == 4
    training.tell("end")


def test_fifty_forks_while_threads_log_hang_nowhere(train: Start) -> None:
    script = """
import os, sys, threading
import epochal as wandb
run = wandb.init(project="drill")
stop = threading.Event()

def work():
    while not stop.is_set():
        wandb.log({"loss": 1.0})
        print("x")

threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads:
    thread.start()
for i in range(50):
    pid = os.fork()
    if pid == 0:
        print("child")
        if i % 2:
            wandb.log({"part": float(i)})
        if i % 3 == 0:
            os._exit(0)
        sys.exit(0)
    assert os.waitpid(pid, 0)[1] == 0
stop.set()
for thread in threads:
    thread.join()
"""
    training = train(script, "-W", "ignore::DeprecationWarning")

    assert training.wait(90) == 0, training.errors
    folder = training.folder()
    assert folder.end()["state"] == "finished"
    assert sorted(folder.values("part")) == [float(i) for i in range(1, 50, 2)]


LOADER = """
import sys
import torch
from torch.utils.data import DataLoader, Dataset
import epochal as wandb

class Numbers(Dataset):
    def __len__(self):
        return 64
    def __getitem__(self, i):
        return torch.tensor(float(i))

if __name__ == "__main__":
    {before}
    loader = DataLoader(Numbers(), batch_size=8, num_workers=4, persistent_workers={persistent},
                        multiprocessing_context="{method}")
    {after}
    for epoch in range(2):
        for batch in loader:
            wandb.log({{"loss": batch.mean()}})
"""


@pytest.mark.slow
@pytest.mark.parametrize("order", ["init before", "init after"])
@pytest.mark.parametrize(("method", "persistent"), [("fork", False), ("fork", True), ("forkserver", True)])
def test_data_loading_workers_never_hang(train: Start, method: str, persistent: bool, order: str) -> None:
    pytest.importorskip("torch", reason="not run: torch is not installed")
    init = 'wandb.init(project="drill")'
    before, after = (init, "pass") if order == "init before" else ("pass", init)
    training = train(LOADER.format(method=method, persistent=persistent, before=before, after=after))

    assert training.wait(100) == 0, training.errors
    assert training.folder().end()["state"] == "finished"
    assert training.folder().values("loss") == [8 * i + 3.5 for i in range(8)] * 2
