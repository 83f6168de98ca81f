from __future__ import annotations

from epochal.sidecar.messages import Line, LineBuffer, RunSettings


def test_lines_may_arrive_in_any_pieces() -> None:
    sent = b'{"open":"/a","settings":{"sampling_interval":0.1}}\n{"close":"/a","exiting":true}\n'
    buffer = LineBuffer()

    found = [line for i in range(len(sent)) for line in buffer.feed(sent[i : i + 1])]

    assert found == [
        Line(open="/a", settings=RunSettings(sampling_interval=0.1)),
        Line(close="/a", exiting=True),
    ]


def test_a_line_that_makes_no_sense_does_not_cost_the_next_one() -> None:
    assert LineBuffer().feed(b'nonsense\n{"open":7}\n{"close":"/a","later":1}\n') == [Line(close="/a")]
