"""The ways for a training process to live and end: scripts, and what is done to them from outside."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable

from tests.drills.life import Case, Job

POOL = """
def child(how, logs):
    gc.collect()
    if logs:
        log(7)
    gc.collect()
    if how == "exception":
        sys.stderr.close()
        raise ValueError("in the child")
    if how == "exit":
        os._exit(0)

if __name__ == "__main__":
    context = multiprocessing.get_context("{method}")
    {before}
    children = [context.Process(target=child, args=(how, {logs})) for how in ("return", "exception", "exit")]
    for process in children:
        process.start()
    {after}
    for process in children:
        process.join()
    assert [process.exitcode for process in children] == [0, 1, 0]
    log(1)
"""
FORKS = """
init()
log(0)
stop = threading.Event()
def work():
    while not stop.is_set():
        log(1)
        time.sleep(0.001)
thread = threading.Thread(target=work)
thread.start()
endings = {"exit": 0, "return": 0, "exception": 256, "finish": 0, "kill": 9}
for how, status in endings.items():
    if (pid := os.fork()) == 0:
        gc.collect()
        log(2)
        gc.collect()
        if how == "exit":
            os._exit(0)
        if how == "exception":
            sys.stderr.close()
            raise ValueError("in the child")
        if how == "finish":
            wandb.finish()
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        sys.exit(0)
    assert os.waitpid(pid, 0)[1] == status, how
stop.set()
thread.join()
"""
LOADER = """
import torch
from torch.utils.data import DataLoader, Dataset

class Numbers(Dataset):
    def __len__(self):
        return 32
    def __getitem__(self, i):
        return torch.tensor(float(i))

def begin(worker):
    gc.collect()  # Finalisers of the parent's objects run in the child.

if __name__ == "__main__":
    {before}
    loader = DataLoader(Numbers(), batch_size=4, num_workers=4, persistent_workers={persistent},
                        worker_init_fn=begin)
    {after}
    for epoch in range(2):
        for batch in loader:
            log(int(batch.sum()))
"""
LOOP = """
init()
log(0)
ready()
i = 0
while True:
    i += 1
    log(i)
"""
FINISHING = """
init()
for i in range(50):
    log(i)
ready()
wandb.finish()
time.sleep(600)
"""
GO_ON = """
init()
log(0)
ready()
sys.stdin.readline()
for i in range(1, 50):
    log(i)
"""
REINIT = """
first = init()
log(0)
assert init() is first
log(1)
second = init(reinit="finish_previous")
assert second is not first
log(2)
third = init(reinit="create_new")
log(3, third)
log(4)
fourth = init(reinit=True)
assert fourth is not second
log(5)
assert init(reinit=False) is fourth
log(6)
wandb.finish()
again = init(id=fourth.id, resume="allow")
log(7)
"""
THREADS = """
def work(n):
    for i in range(n, N_RUNS, N_THREADS):
        run = init(reinit="create_new")
        log(i, run)
        if i % 2:
            run.finish()
threads = [threading.Thread(target=work, args=(n,)) for n in range(N_THREADS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""
MANY = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
for i in range(N_RUNS):
    with init(reinit=("finish_previous", "create_new")[i % 2]) as run:
        log(i, run)
"""


def _signals(*numbers: signal.Signals, spread_s: float = 0.03) -> Callable[[Job], None]:
    """Return an act that sends signals at random moments after the script is ready."""

    def act(job: Job) -> None:
        job.wait_until_ready()
        for number in numbers:
            time.sleep(random.uniform(0.0, spread_s))
            job.signal(number)

    return act


def _kill_group(job: Job) -> None:
    job.wait_until_ready()
    time.sleep(random.uniform(0.0, 0.1))
    os.killpg(job.process.pid, signal.SIGKILL)


def _kill_sidecar(job: Job) -> None:
    job.wait_until_ready()
    time.sleep(random.uniform(0.0, 0.3))
    for pid in job.sidecars():
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    job.go_on()


def _pools() -> list[Case]:
    cases = []
    for method in ("fork", "forkserver", "spawn"):
        for order in ("before", "after"):
            before, after = ("init()", "pass") if order == "before" else ("pass", "init()")
            logs = method == "fork" and order == "before"
            script = POOL.format(method=method, before=before, after=after, logs=logs)
            cases.append(Case(f"{method}, init {order}", script, n_rows=4 if logs else 1))
    return cases


def _loaders() -> list[Case]:
    cases = []
    for persistent in (False, True):
        for order in ("before", "after"):
            before, after = ("init()", "pass") if order == "before" else ("pass", "init()")
            name = f"DataLoader{', persistent' if persistent else ''}, init {order}"
            script = LOADER.format(persistent=persistent, before=before, after=after)
            cases.append(Case(name, script, n_rows=16, imports="torch"))
    return cases


BEGIN = "init()\nlog(0)\n"
CASES = [
    *_pools(),
    Case("os.fork beside a thread that logs", FORKS, n_rows=7),
    *_loaders(),
    Case("return", BEGIN),
    Case("exception", BEGIN + "raise ValueError('bad batch')", exit_code=1),
    Case("sys.exit", BEGIN + "sys.exit(3)", exit_code=3),
    Case("os._exit", BEGIN + "os._exit(5)", exit_code=5),
    Case(
        "excepthook set by others",
        "sys.excepthook = lambda *_: log(1)\n" + BEGIN + "raise ValueError('bad batch')",
        exit_code=1,
        n_rows=2,
    ),
    Case(
        "excepthook that finishes",
        BEGIN + "sys.excepthook = lambda *_: (log(1), wandb.finish())\nraise ValueError('bad batch')",
        exit_code=1,
        n_rows=2,
    ),
    Case("SIGINT during log", LOOP, -signal.SIGINT, _signals(signal.SIGINT)),
    Case("SIGINT twice during log", LOOP, -signal.SIGINT, _signals(signal.SIGINT, signal.SIGINT)),
    Case("SIGINT during finish", FINISHING, -signal.SIGINT, _signals(signal.SIGINT), 50),
    Case("SIGINT twice during finish", FINISHING, -signal.SIGINT, _signals(signal.SIGINT, signal.SIGINT), 50),
    Case("SIGTERM", LOOP, -signal.SIGTERM, _signals(signal.SIGTERM)),
    Case("SIGHUP", LOOP, -signal.SIGHUP, _signals(signal.SIGHUP)),
    Case("SIGKILL", LOOP, -signal.SIGKILL, _signals(signal.SIGKILL)),
    Case("SIGKILL during finish", FINISHING, -signal.SIGKILL, _signals(signal.SIGKILL), 50),
    Case("SIGKILL of the process group", LOOP, -signal.SIGKILL, _kill_group),
    Case("SIGKILL of the sidecar", GO_ON, 0, _kill_sidecar, 50),
    Case(
        "SIGKILL of the sidecar, then os._exit", GO_ON + "wandb.finish()\nos._exit(4)", 4, _kill_sidecar, 50
    ),
    Case("init twice, reinit", REINIT, n_rows=8),
    Case("runs in 8 threads, half of them finished", "N_RUNS, N_THREADS = 16, 8" + THREADS, n_rows=16),
    Case("runs in a row with 64 descriptors", "N_RUNS = 30" + MANY, n_rows=30),
    Case("log and finish in atexit", BEGIN + "atexit.register(lambda: (log(1), wandb.finish()))", n_rows=2),
    Case(
        "log in atexit, set before init",
        "def late():\n    try: log(1)\n    except wandb.Error: pass\natexit.register(late)\n" + BEGIN,
    ),
    Case(
        "log and finish in __del__",
        BEGIN
        + """
class Model:
    def __del__(self):
        log(1)
        wandb.finish()
model = Model()
atexit.register(lambda: globals().pop("model"))
""",
        n_rows=2,
    ),
    Case(
        "log in __del__ of a module that is torn down",
        BEGIN
        + """
class Model:
    def __del__(self):
        try:
            log(1)
        except BaseException:
            pass
model = Model()
""",
    ),
    Case(
        "log and finish in a signal handler",
        BEGIN
        + """
def on_term(number, frame):
    log(-1)
    wandb.finish()
    os._exit(6)
signal.signal(signal.SIGTERM, on_term)
ready()
i = 0
while True:
    i += 1
    log(i)
""",
        6,
        _signals(signal.SIGTERM),
        2,
    ),
    Case(
        "a timer's handler that logs into log",
        BEGIN
        + """
signal.signal(signal.SIGALRM, lambda *_: log(-1))
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
for i in range(1, 2000):
    log(i)
signal.setitimer(signal.ITIMER_REAL, 0)
""",
        n_rows=2000,
    ),
    Case(
        "threads that outlive the main thread",
        BEGIN
        + """
def work():
    time.sleep(0.05)
    for i in range(100):
        log(i)
for _ in range(4):
    threading.Thread(target=work).start()
""",
        n_rows=401,
    ),
    Case(
        "daemon threads that log until the interpreter is gone",
        BEGIN
        + """
def work():
    while True:
        try:
            log(1)
        except wandb.Error:
            return
for _ in range(2):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.05)
""",
        n_rows=2,
    ),
    Case(
        "finish in a thread",
        BEGIN + "thread = threading.Thread(target=wandb.finish)\nthread.start()\nthread.join()\n",
    ),
    Case(
        "finish in two threads at once",
        BEGIN + "for _ in range(2): threading.Thread(target=wandb.finish).start()",
    ),
]
