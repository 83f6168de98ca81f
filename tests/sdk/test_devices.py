"""Values that are not known yet when they are logged."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import epochal
from epochal.runlog.format import RecordType
from epochal.sdk.device import LateRow, Resolver, TorchBatch

jax = pytest.importorskip("jax")
jnp = jax.numpy

Records = Callable[[epochal.Run, RecordType], list[list[Any]]]
Rows = Callable[[epochal.Run], dict[int, dict[str, Any]]]


@pytest.fixture(scope="module")
def slow() -> Callable[[float], Any]:
    """Return a compiled computation whose result takes a while after its call returned."""

    def work(start: Any) -> Any:
        start = jnp.full((400, 400), start)
        return jax.lax.fori_loop(0, 150, lambda _, m: jnp.tanh(m @ m), start).sum()

    compiled: Callable[[float], Any] = jax.jit(work)
    compiled(0.5).block_until_ready()
    return compiled


def test_log_returns_before_the_value_is_computed_and_the_value_arrives(
    slow: Callable[[float], Any], run: epochal.Run, rows: Rows
) -> None:
    value = slow(0.25)
    run.log({"loss": value, "epoch": 3})
    was_ready = value.is_ready()

    assert not was_ready, "log() waited for the device"
    assert rows(run) == {0: {"epoch": 3}}
    run.finish()
    assert rows(run) == {0: {"epoch": 3, "loss": pytest.approx(float(value))}}


def test_both_parts_of_a_row_have_one_time(
    slow: Callable[[float], Any], run: epochal.Run, records: Records
) -> None:
    run.log({"loss": slow(0.5), "epoch": 3})
    assert run.flush()

    first, second = records(run, RecordType.ROW)
    assert (first[1], first[2]) == (second[1], second[2])


def test_rows_arrive_in_the_order_they_were_logged(
    slow: Callable[[float], Any], run: epochal.Run, rows: Rows
) -> None:
    values = []
    for i in range(8):
        values.append(slow(0.1 * i))
        run.log({"nested": {"loss": values[-1]}, "list": [values[-1], 1]})
    run.finish()

    expected = [pytest.approx(float(v)) for v in values]
    assert [row["nested"]["loss"] for row in rows(run).values()] == expected
    assert [row["list"] for row in rows(run).values()] == [[e, 1] for e in expected]
    assert list(rows(run)) == list(range(8))


def test_a_value_that_is_known_costs_no_thread(run: epochal.Run, rows: Rows) -> None:
    value = jnp.float32(1.5).block_until_ready()

    run.log({"a": value, "b": jnp.arange(3), "c": jnp.bfloat16(2.5)})
    jnp.arange(3).block_until_ready()
    run.flush()

    assert rows(run)[0]["a"] == 1.5
    assert rows(run)[0]["c"] == 2.5


def test_a_traced_value_becomes_its_text(run: epochal.Run, rows: Rows) -> None:
    def step(x: Any) -> Any:
        run.log({"x": x})
        return x + 1

    jax.jit(step)(1.0)

    assert "Tracer" in rows(run)[0]["x"]


def test_a_value_whose_buffer_was_given_away_is_missing_with_a_warning(
    slow: Callable[[float], Any], run: epochal.Run, rows: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    # A computation in front, so that neither value is read before it is given away.
    blocker, value = slow(0.5), slow(0.75)
    run.log({"blocker": blocker, "value": value, "epoch": 1})
    value.delete()
    run.finish()

    assert set(rows(run)[0]) >= {"epoch"}
    if "value" not in rows(run)[0]:
        assert "could not be read" in capsys.readouterr().err


def test_an_array_of_jax_is_a_histogram_when_large(run: epochal.Run, rows: Rows) -> None:
    run.log({"a": jnp.arange(100.0)})
    run.finish()

    assert sum(rows(run)[0]["a"]["values"]) == 100


def test_the_summary_of_a_disabled_run_has_late_values(slow: Callable[[float], Any]) -> None:
    run = epochal.init(mode="disabled")
    value = slow(0.3)
    run.log({"loss": value})
    run.flush()

    assert run.summary["loss"] == pytest.approx(float(value))


class Endless:
    """A device value that is not there before it is told to be."""

    def __init__(self) -> None:
        self.known = threading.Event()

    def read(self) -> object:
        self.known.wait(30)
        return 1


def test_waiting_ends_at_its_deadline_and_counts_what_is_missing() -> None:
    resolver, value = Resolver(), Endless()
    written: list[dict[str, object]] = []
    resolver.put(LateRow([(("a",), value)], written.append))

    assert resolver.wait(0.05) == 1
    value.known.set()
    assert resolver.wait(10) == 0
    assert written == [{"a": 1}]


def test_finish_says_which_values_did_not_come(capsys: pytest.CaptureFixture[str], rows: Rows) -> None:
    run = epochal.init(settings={"finish_timeout": 0.05})
    value = Endless()
    run._resolver = Resolver()
    run._resolver.put(LateRow([(("a",), value)], lambda data: run.log(data)))
    run.log({"b": 1})
    run.finish()
    value.known.set()

    assert "1 rows" in capsys.readouterr().err
    assert rows(run) == {0: {"b": 1}}
    assert run._resolver.wait(10) == 0


def test_tensors_of_one_call_are_copied_at_once_and_later_changes_do_not_show() -> None:
    torch = pytest.importorskip("torch")
    loss, pair = torch.tensor(1.0), torch.tensor([2.0, 3.0])
    batch = TorchBatch()
    snapshots = [batch.add(loss), batch.add(pair)]
    batch.start()

    loss += 100
    pair.zero_()

    assert [s.read() for s in snapshots] == [1.0, [2.0, 3.0]]


def test_the_thread_holds_no_value_after_it_is_written(run: epochal.Run) -> None:
    import gc
    import weakref

    class Value:
        def read(self) -> object:
            return 1

    value = Value()
    gone = weakref.ref(value)
    resolver = Resolver()
    resolver.put(LateRow([(("a",), value)], lambda data: None))
    del value
    resolver.wait(10)
    deadline = time.monotonic() + 10
    while gone() is not None and time.monotonic() < deadline:
        gc.collect()

    assert gone() is None
