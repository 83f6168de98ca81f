"""What a value of each kind is stored as."""

from __future__ import annotations

import argparse
import collections
import datetime
import decimal
import enum
import math
import pathlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

import epochal

Rows = Callable[[epochal.Run], dict[int, dict[str, Any]]]


class Colour(enum.Enum):
    RED = "red"


class OwnText(str):
    __slots__ = ()


class OwnNumber(float):
    pass


@dataclass
class Point:
    x: int
    y: float


PLAIN = [
    (True, True),
    (7, 7),
    (0.5, 0.5),
    ("text", "text"),
    (None, None),
    (math.inf, math.inf),
    (-math.inf, -math.inf),
    ([1, 2.5, "a", None], [1, 2.5, "a", None]),
    ((1, 2), [1, 2]),
    ({3}, [3]),
    (range(3), [0, 1, 2]),
    (collections.deque([1, 2]), [1, 2]),
    ({}.keys(), []),
    (OwnText("x"), "x"),
    (OwnNumber(2.5), 2.5),
    (Colour.RED, "red"),
    (Point(1, 2.5), {"x": 1, "y": 2.5}),
    (argparse.Namespace(a=1), {"a": 1}),
    (decimal.Decimal("1.5"), "1.5"),
    (1 + 2j, "(1+2j)"),
    (datetime.date(2026, 11, 22), "2026-11-22"),
    (pathlib.PurePosixPath("/a/b"), "/a/b"),
    (2**63, float(2**63)),
    (-(2**70), float(-(2**70))),
    (10**400, str(10**400)),
    ("\ud800", "?"),
    ({1: 2, None: 3}, {"1": 2, "None": 3}),
    (collections.OrderedDict(a=1), {"a": 1}),
    (math.sqrt, "math.sqrt"),
    (Point, f"{__name__}.Point"),
]


@pytest.mark.parametrize(("value", "expected"), PLAIN, ids=lambda v: type(v).__name__)
def test_a_python_value_is_stored_as(value: Any, expected: Any, run: epochal.Run, rows: Rows) -> None:
    run.log({"a": value})

    stored = rows(run)[0]["a"]
    # A whole number beyond 64 bits signed may be read as the integer that it is.
    assert _named(stored) == expected


@pytest.mark.parametrize(("value", "expected"), PLAIN, ids=lambda v: type(v).__name__)
def test_beside_a_value_that_needs_the_slow_way_it_is_stored_alike(
    value: Any, expected: Any, run: epochal.Run, rows: Rows
) -> None:
    run.log({"a": value, "nested": {"a": value}, "slow": iter([1])})

    row = rows(run)[0]
    assert (_named(row["a"]), _named(row["nested"]["a"]), row["slow"]) == (expected, expected, [1])


def test_a_value_that_raises_while_it_is_read_costs_itself_only(run: epochal.Run, rows: Rows) -> None:
    @dataclass
    class Half:
        x: int
        y: int

    half = Half(1, 2)
    del half.y
    run.log({"half": half, "b": 1})

    assert rows(run)[0]["b"] == 1


def test_nan_is_kept_alone_and_in_lists(run: epochal.Run, rows: Rows) -> None:
    run.log({"a": math.nan, "b": [1.0, math.nan]})

    row = rows(run)[0]
    assert math.isnan(row["a"])
    assert math.isnan(row["b"][1])


def test_a_generator_is_stored_as_the_list_of_what_it_yields(run: epochal.Run, rows: Rows) -> None:
    run.log({"a": (i * i for i in range(3)), "b": 2**70})

    assert rows(run)[0] == {"a": [0, 1, 4], "b": float(2**70)}


def test_what_nothing_can_store_becomes_its_text_with_one_warning(
    run: epochal.Run, rows: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    class Odd:
        def __repr__(self) -> str:
            return "an odd thing"

    for _ in range(3):
        run.log({"a": Odd(), "b": 1})

    assert rows(run)[2] == {"a": "an odd thing", "b": 1}
    assert capsys.readouterr().err.count("Odd is no data") == 1


def test_a_repr_that_raises_does_not_reach_the_script(run: epochal.Run, rows: Rows) -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    run.log({"a": Broken()})

    assert "Broken" in rows(run)[0]["a"]


def test_a_dict_that_contains_itself_does_not_reach_the_script(run: epochal.Run, rows: Rows) -> None:
    endless: dict[str, Any] = {"x": 1}
    endless["me"] = endless

    run.log({"a": endless, "b": 2})

    row = rows(run)[0]
    assert (row["a"]["x"], row["b"]) == (1, 2)


def test_every_numpy_scalar_is_stored_as_a_number(run: epochal.Run, rows: Rows) -> None:
    np = pytest.importorskip("numpy")
    kinds = [
        "int8",
        "uint8",
        "int16",
        "uint16",
        "int32",
        "uint32",
        "int64",
        "uint64",
        "float16",
        "float32",
        "float64",
        "longdouble",
    ]

    numbers = {kind: np.dtype(kind).type(3) for kind in kinds}
    run.log(numbers | {"bool": np.bool_(True), "str": np.str_("s")})

    row = rows(run)[0]
    assert row == {**dict.fromkeys(kinds, 3), "bool": True, "str": "s"}
    assert type(row["float16"]) is float
    assert type(row["int8"]) is int


def test_numpy_dates_bytes_and_complex_numbers_are_stored_as_texts(run: epochal.Run, rows: Rows) -> None:
    np = pytest.importorskip("numpy")

    run.log({"d": np.datetime64("2026-11-22"), "b": np.bytes_(b"x"), "c": np.complex64(1 + 2j)})

    assert rows(run)[0] == {"d": "2026-11-22", "b": "x", "c": "(1+2j)"}


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_an_array_of_one_element_is_a_number(shape: tuple[int, ...], run: epochal.Run, rows: Rows) -> None:
    np = pytest.importorskip("numpy")

    run.log({"a": np.full(shape, 2.5)})

    assert rows(run)[0] == {"a": 2.5}


def test_an_array_of_up_to_32_elements_is_a_list_and_a_larger_one_a_histogram(
    run: epochal.Run, rows: Rows
) -> None:
    np = pytest.importorskip("numpy")

    run.log({"small": np.arange(32).reshape(2, 16), "large": np.arange(33.0), "texts": np.array(["a"] * 40)})

    row = rows(run)[0]
    assert row["small"] == [list(range(16)), list(range(16, 32))]
    assert row["texts"] == ["a"] * 40
    assert row["large"]["_type"] == "histogram"
    assert (len(row["large"]["bins"]), len(row["large"]["values"])) == (33, 32)
    assert sum(row["large"]["values"]) == 33


def test_a_histogram_of_an_array_leaves_out_what_is_not_finite(run: epochal.Run, rows: Rows) -> None:
    np = pytest.importorskip("numpy")
    values = np.concatenate([np.arange(40.0), [np.nan, np.inf, -np.inf]])

    run.log({"some": values, "none": np.full(40, np.nan)})

    row = rows(run)[0]
    assert (row["some"]["bins"][0], row["some"]["bins"][-1]) == (0.0, 39.0)
    assert (sum(row["some"]["values"]), sum(row["none"]["values"])) == (40, 0)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "int64", "int8", "bool"])
def test_a_torch_tensor_of_every_type_is_stored(dtype: str, run: epochal.Run, rows: Rows) -> None:
    torch = pytest.importorskip("torch")
    ones = torch.ones(40, dtype=getattr(torch, dtype))

    run.log({"number": ones[0], "list": ones[:3], "histogram": ones})

    row = rows(run)[0]
    assert (row["number"], row["list"]) == (1, [1, 1, 1])
    assert sum(row["histogram"]["values"]) == 40


def test_a_tensor_that_requires_a_gradient_a_sparse_and_a_meta_tensor_do_not_raise(
    run: epochal.Run, rows: Rows
) -> None:
    torch = pytest.importorskip("torch")
    loss = (torch.ones(2, requires_grad=True) * 2).sum()

    run.log({"loss": loss, "sparse": torch.eye(2).to_sparse(), "meta": torch.empty(3, device="meta")})

    row = rows(run)[0]
    assert (row["loss"], row["sparse"]) == (4.0, [[1, 0], [0, 1]])
    assert "meta" in row["meta"]


def test_numpy_and_torch_count_the_same_histogram() -> None:
    np = pytest.importorskip("numpy")
    torch = pytest.importorskip("torch")
    values = np.random.default_rng(3).normal(size=10_000)

    ours, theirs = epochal.Histogram(torch.tensor(values)), np.histogram(values, bins=64)

    assert ours.histogram == theirs[0].tolist()
    assert np.allclose(ours.bins, theirs[1])


def test_a_whole_model_is_kept_and_warned_about_once(
    run: epochal.Run, rows: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    torch = pytest.importorskip("torch")
    model = torch.nn.Linear(100, 10)

    for _ in range(2):
        run.log({"huge_tensor": model.state_dict()})

    kept = rows(run)[1]["huge_tensor"]
    assert sum(kept["weight"]["values"]) == 1000
    assert len(kept["bias"]) == 10
    assert capsys.readouterr().err.count("state_dict()") == 1


def test_a_value_over_the_limit_is_a_clear_error_and_the_rest_of_its_row_is_kept(
    run: epochal.Run, rows: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    run.log({"wide_key": list(range(5_000_000)), "loss": 0.5})
    run.log({"loss": 0.25})

    assert rows(run) == {0: {"loss": 0.5}, 1: {"loss": 0.25}}
    message = capsys.readouterr().err
    assert "'wide_key'" in message
    assert "your script goes on" in message


def test_values_below_the_limit_that_are_large_together_are_kept(run: epochal.Run, rows: Rows) -> None:
    big = {"a": "x" * 10_000_000, "b": {"c": "y" * 10_000_000, "d": "z" * 10_000_000}}

    run.log(big)

    assert rows(run)[0] == big


def test_a_very_large_call_is_a_clear_error(run: epochal.Run, rows: Rows) -> None:
    part = "x" * 15_000_000
    run.log({str(i): part for i in range(20)})
    run.log({"loss": 1})

    assert rows(run) == {1: {"loss": 1}}


def test_nested_dicts_are_kept_nested_with_text_keys(run: epochal.Run, rows: Rows) -> None:
    data = {"a": 1, "b": {"c": 2, "d": {"e": 3, "f": 4}}}

    run.log(data)

    assert rows(run)[0] == data


def test_a_mapping_that_is_no_dict_is_logged(run: epochal.Run, rows: Rows) -> None:
    run.log(collections.ChainMap({"a": 1}, {"b": 2}))

    assert rows(run)[0] == {"a": 1, "b": 2}


class TestHistogram:
    """`Histogram`, from data and from counts."""

    def test_of_a_list_counts_every_number(self) -> None:
        histogram = epochal.Histogram([1, 2, 2, [3, 3, 3]], num_bins=3)

        assert histogram.histogram == [1, 2, 3]
        assert histogram.bins == pytest.approx([1, 5 / 3, 7 / 3, 3])

    def test_of_counts_and_edges_is_kept_as_given(self, run: epochal.Run, rows: Rows) -> None:
        run.log({"h": epochal.Histogram(np_histogram=([1, 2], [0.0, 0.5, 1.0]))})

        assert rows(run)[0]["h"] == {"_type": "histogram", "bins": [0.0, 0.5, 1.0], "values": [1, 2]}

    def test_of_a_gradient_has_64_bins(self) -> None:
        torch = pytest.importorskip("torch")

        assert len(epochal.Histogram(torch.randn(100, 100)).histogram) == 64

    def test_of_equal_values_has_a_bin_around_them(self) -> None:
        histogram = epochal.Histogram([2.0] * 5)

        assert sum(histogram.histogram) == 5
        assert histogram.bins[0] < 2.0 < histogram.bins[-1]

    def test_without_numpy_counts_as_with_it(self) -> None:
        from epochal.sdk.histogram import count_numbers

        np = pytest.importorskip("numpy")
        values = [*np.random.default_rng(1).normal(size=500).tolist(), math.nan, math.inf]

        assert count_numbers(values, 10).counts == epochal.Histogram(values, num_bins=10).histogram

    @pytest.mark.parametrize(
        "arguments",
        [{}, {"sequence": [1], "num_bins": 513}, {"np_histogram": ([1], [0.0])}, {"sequence": "text"}],
    )
    def test_of_nothing_that_can_be_counted_is_refused(self, arguments: dict[str, Any]) -> None:
        with pytest.raises(epochal.UsageError):
            epochal.Histogram(**arguments)


def _named(value: Any) -> Any:
    """Return maps with their keys as texts, as every reader of rows takes them."""
    if isinstance(value, dict):
        return {str(k): _named(v) for k, v in value.items()}
    return value
