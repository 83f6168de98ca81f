"""Images, tables and other files in rows."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import epochal
from epochal.runlog.format import RecordType

np = pytest.importorskip("numpy")
PilImage = pytest.importorskip("PIL.Image")

Rows = Callable[[epochal.Run], dict[int, dict[str, Any]]]
Records = Callable[[epochal.Run, RecordType], list[list[Any]]]


def pixels_of(run: epochal.Run, stored: dict[str, Any]) -> Any:
    """Return the pixels of a stored image as PIL reads them."""
    content = (Path(run.dir) / stored["path"]).read_bytes()
    assert (stored["size"], stored["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    return np.asarray(PilImage.open(io.BytesIO(content)))


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1), (4, 6, 3), (4, 6, 4)])
def test_an_image_of_numpy_is_stored_pixel_by_pixel(
    shape: tuple[int, ...], run: epochal.Run, rows: Rows
) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape).astype("uint8")

    run.log({"image": epochal.Image(array, caption="noise")})

    stored = rows(run)[0]["image"]
    assert (stored["_type"], stored["width"], stored["height"], stored["caption"]) == (
        "image-file",
        6,
        4,
        "noise",
    )
    assert (pixels_of(run, stored) == array.reshape(array.shape[:2] if shape[2:] == (1,) else shape)).all()


def test_floats_are_scaled_by_what_they_seem_to_mean(run: epochal.Run, rows: Rows) -> None:
    unit = np.array([[0.0, 0.5, 1.0]])

    run.log(
        {
            "unit": epochal.Image(unit),
            "signed": epochal.Image(unit * 2 - 1),
            "bytes": epochal.Image(unit * 255),
        }
    )

    row = rows(run)[0]
    for key in ("unit", "signed"):
        assert pixels_of(run, row[key]).tolist() == [[0, 128, 255]]
    assert pixels_of(run, row["bytes"]).tolist() == [[0, 127, 255]]


def test_torch_images_have_their_channels_first_and_several_make_a_grid(run: epochal.Run, rows: Rows) -> None:
    torch = pytest.importorskip("torch")

    run.log({"one": epochal.Image(torch.ones(3, 4, 6)), "grid": epochal.Image(torch.ones(4, 3, 4, 6))})

    row = rows(run)[0]
    assert pixels_of(run, row["one"]).shape == (4, 6, 3)
    assert pixels_of(run, row["grid"]).shape == (8, 12, 3)


def test_an_image_is_what_it_was_when_it_was_made(run: epochal.Run, rows: Rows) -> None:
    array = np.zeros((2, 2), dtype="uint8")
    image = epochal.Image(array)
    array[:] = 255

    run.log({"image": image})

    assert pixels_of(run, rows(run)[0]["image"]).max() == 0


def test_pil_images_files_and_figures_are_stored(run: epochal.Run, rows: Rows, tmp_path: Path) -> None:
    picture = PilImage.new("RGB", (5, 3), (255, 0, 0))
    picture.save(tmp_path / "a.png")

    run.log(
        {
            "pil": picture,
            "jpg": epochal.Image(picture, file_type="jpg"),
            "path": epochal.Image(tmp_path / "a.png"),
        }
    )

    row = rows(run)[0]
    assert [pixels_of(run, row[key]).shape for key in ("pil", "jpg", "path")] == [(3, 5, 3)] * 3
    assert row["jpg"]["format"] == "jpg"


def test_lists_of_images_and_nested_images_are_stored(run: epochal.Run, rows: Rows, records: Records) -> None:
    images = [epochal.Image(np.full((2, 2), i, dtype="uint8")) for i in range(3)]

    run.log({"many": images, "nested": {"one": images[0]}, "loss": 1})

    row = rows(run)[0]
    assert [pixels_of(run, image)[0, 0] for image in row["many"]] == [0, 1, 2]
    assert pixels_of(run, row["nested"]["one"])[0, 0] == 0
    assert len(records(run, RecordType.FILE)) == 4


def test_the_same_image_again_is_no_new_file(run: epochal.Run, records: Records) -> None:
    for _ in range(3):
        run.log({"image": epochal.Image(np.zeros((2, 2), dtype="uint8"))}, step=0)

    assert len(records(run, RecordType.FILE)) == 1


def test_a_key_never_leads_out_of_the_runs_folder(run: epochal.Run, rows: Rows) -> None:
    run.log({"../../../x/..\\y\0": epochal.Image(np.zeros((2, 2), dtype="uint8"))})

    (stored,) = rows(run)[0].values()
    assert (Path(run.dir) / stored["path"]).resolve().parent == (Path(run.dir) / "media" / "images").resolve()


@pytest.mark.parametrize("data", [np.zeros((2, 2, 5)), np.zeros(4), np.zeros((0, 0, 3)), "missing.txt"])
def test_what_is_no_picture_is_refused(data: Any) -> None:
    with pytest.raises(epochal.UsageError):
        epochal.Image(data)


def test_an_image_that_cannot_be_written_costs_its_place_in_the_row_only(
    run: epochal.Run, rows: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    (Path(run.dir) / "media").write_text("in the way")

    run.log({"image": epochal.Image(np.zeros((2, 2))), "loss": 1})

    assert rows(run) == {0: {"image": None, "loss": 1}}
    assert "could not be stored" in capsys.readouterr().err


def test_a_table_keeps_its_cells_and_every_state_that_was_logged(run: epochal.Run, rows: Rows) -> None:
    table = epochal.Table(columns=["a", "b"], data=[[1, "x"]])
    run.log({"t": table})
    table.add_data(np.float32(0.5), float("nan"))
    table.add_row([None, [1, 2]])
    run.log({"t": table})

    contents = [json.loads((Path(run.dir) / row["t"]["path"]).read_text()) for row in rows(run).values()]
    assert contents[0] == {"columns": ["a", "b"], "data": [[1, "x"]]}
    assert contents[1]["data"] == [[1, "x"], [0.5, "NaN"], [None, [1, 2]]]


def test_a_table_is_read_back_by_column_and_row() -> None:
    table = epochal.Table(columns=["a"], data=[[1], [2]])
    table.add_column("b", ["x", "y"])
    table.add_computed_columns(lambda index, row: {"double": row["a"] * 2})

    assert table.columns == ["a", "b", "double"]
    assert table.get_column("double") == [2, 4]
    assert table.get_column("a", convert_to="numpy").tolist() == [1, 2]  # type: ignore[attr-defined]
    assert list(table.iterrows()) == [(0, [1, "x", 2]), (1, [2, "y", 4])]


def test_a_table_refuses_rows_and_columns_that_do_not_fit() -> None:
    table = epochal.Table(columns=["a", "b"], data=[[1, 2]])

    with pytest.raises(epochal.UsageError, match="2 cells, not 1"):
        table.add_data(1)
    with pytest.raises(epochal.UsageError, match="already"):
        table.add_column("a", [1])
    with pytest.raises(epochal.UsageError, match="1 values, not 0"):
        table.add_column("c", [])
    with pytest.raises(epochal.UsageError, match="no column 'z'"):
        table.get_column("z")


def test_a_data_frame_is_a_table(run: epochal.Run, rows: Rows) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]})

    run.log({"frame": frame, "series": frame["a"]})

    row = rows(run)[0]
    assert json.loads((Path(run.dir) / row["frame"]["path"]).read_text())["columns"] == ["a", "b"]
    assert row["series"] == [1, 2]
    assert epochal.Table(dataframe=frame).get_dataframe().equals(frame)  # type: ignore[attr-defined]


def test_web_pages_are_stored_from_text_and_file(run: epochal.Run, rows: Rows, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<p>file</p>")

    run.log({"text": epochal.Html("<p>text</p>"), "file": epochal.Html(str(tmp_path / "page.html"))})

    row = rows(run)[0]
    assert [(Path(run.dir) / row[k]["path"]).read_text() for k in ("text", "file")] == [
        "<p>text</p>",
        "<p>file</p>",
    ]
