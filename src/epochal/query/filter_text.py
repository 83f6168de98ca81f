"""Filters as people type them.

    config.lr > 0.1 and (state = "finished" or tags in ["best"]) and name ~ /resnet/

Comparisons are = != < <= > >=, `in [...]`, `not in [...]`, `contains "text"` and `not contains "text"`
(whatever the case), `~ /regex/` and `!~ /regex/` (with i behind it whatever the case), `exists`, `is null`
and `is not null`.  They are joined by `and`, `or`, `not` and parentheses.  A field with spaces or signs in
its name stands in backticks.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from epochal.errors import UsageError
from epochal.query.field_names import field_of
from epochal.query.filters import (
    EVERY_RUN,
    MAX_DEPTH,
    And,
    Compare,
    Contains,
    Exists,
    Filter,
    FilterError,
    Matches,
    Not,
    OneOf,
    Operator,
    Or,
    Scalar,
    Value,
    check_size,
)
from epochal.query.patterns import compile_pattern

MAX_TEXT_CHARACTERS = 20_000

_TokenKind = Literal["number", "text", "regex", "word", "sign", "end"]
_NUMBER = re.compile(
    r"[-+]?(?:inf(?:inity)?|nan|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?![\w.])", re.IGNORECASE
)
_WORD = re.compile(r"(?:[^\W\d]|`[^`]*`)(?:[\w./:@%$-]|`[^`]*`)*")
_SIGN = re.compile(r"!=|!~|<=|>=|==|[=<>~()\[\],]")
_SPACE = re.compile(r"\s*")
_OPERATORS: dict[str, Operator] = {
    "=": "=", "==": "=", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">=",
}  # fmt: skip
_WORDS: dict[str, Scalar] = {"true": True, "false": False, "null": None, "none": None}
_AFTER_A_FIELD = "expected =, !=, <, <=, >, >=, ~, !~, in, not in, contains, exists or is null"


class _Token(NamedTuple):
    kind: _TokenKind
    text: str
    value: Scalar
    column: int  # from 1


def parse_text_filter(text: str | None) -> Filter:
    """Return the filter that a text means; an empty one means every run.

    Raises:
        FilterError: it means none; it says at which column.
    """
    if text is None or not text.strip():
        return EVERY_RUN
    if len(text) > MAX_TEXT_CHARACTERS:
        raise FilterError(f"a filter has at most {MAX_TEXT_CHARACTERS:,} characters, not {len(text):,}")
    tree = _Parser(text).parse()
    check_size(tree)
    return tree


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self._at = 0
        self.skip()

    def skip(self) -> None:
        space = _SPACE.match(self.text, self._at)
        self._at = space.end() if space else self._at

    def token(self, *, regex_may_come: bool) -> _Token:
        """Return the next token, and go on behind it."""
        text, at = self.text, self._at
        column = at + 1
        if at >= len(text):
            return _Token("end", "the end", None, column)
        if text[at] in "\"'":
            return self._quoted(column)
        if text[at] == "/" and regex_may_come:
            return self._regex(column)
        # A word first: `info` and `nano` begin as numbers do.
        if (number := _NUMBER.match(text, at)) and not (
            (longer := _WORD.match(text, at)) and longer.end() > number.end()
        ):
            return self._take("number", number.group(), float(number.group()), column)
        if word := _WORD.match(text, at):
            return self._take("word", word.group(), word.group(), column)
        if sign := _SIGN.match(text, at):
            return self._take("sign", sign.group(), None, column)
        raise FilterError(f"{text[at]!r} cannot stand here", text, column)

    def _take(self, kind: _TokenKind, said: str, value: Scalar, column: int) -> _Token:
        self._at += len(said)
        self.skip()
        return _Token(kind, said, value, column)

    def _quoted(self, column: int) -> _Token:
        quote, at = self.text[column - 1], column
        value: list[str] = []
        while at < len(self.text) and self.text[at] != quote:
            if self.text[at] == "\\" and at + 1 < len(self.text):
                at += 1
                value.append({"n": "\n", "t": "\t"}.get(self.text[at], self.text[at]))
            else:
                value.append(self.text[at])
            at += 1
        if at >= len(self.text):
            raise FilterError(f"the text that begins here has no closing {quote}", self.text, column)
        return self._take("text", self.text[column - 1 : at + 1], "".join(value), column)

    def _regex(self, column: int) -> _Token:
        at = column
        while at < len(self.text) and self.text[at] != "/":
            at += 2 if self.text[at] == "\\" else 1
        if at >= len(self.text):
            raise FilterError("the pattern that begins here has no closing /", self.text, column)
        pattern = self.text[column:at].replace("\\/", "/")
        flag = self.text[at + 1 : at + 2]
        said = self.text[column - 1 : at + 1] + (flag if flag == "i" else "")
        return self._take("regex", said, pattern, column)


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._scanner = _Scanner(text)
        self._next = self._scanner.token(regex_may_come=False)
        self._depth = 0

    def parse(self) -> Filter:
        tree = self._either()
        if self._next.kind != "end":
            raise self._error(f"expected `and`, `or` or the end, not {self._next.text}")
        return tree

    def _either(self) -> Filter:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error(f"a filter is nested at most {MAX_DEPTH} levels deep")
        parts = [self._both()]
        while self._took_word("or"):
            parts.append(self._both())
        self._depth -= 1
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _both(self) -> Filter:
        parts = [self._negation()]
        while self._took_word("and"):
            parts.append(self._negation())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _negation(self) -> Filter:
        is_negated = False
        while self._took_word("not"):
            is_negated = not is_negated
        part = self._primary()
        return Not(part) if is_negated else part

    def _primary(self) -> Filter:
        if self._took_sign("("):
            tree = self._either()
            self._expect(")")
            return tree
        if self._next.kind != "word":
            raise self._error(f"expected a field, `not` or (, not {self._next.text}")
        return self._condition(self._field())

    def _field(self) -> str:
        token = self._advance()
        try:
            return field_of(token.text.replace("`", ""), for_people=True)
        except FilterError as error:
            raise FilterError(str(error), self._text, token.column) from error

    def _condition(self, field: str) -> Filter:
        sign = self._next.text if self._next.kind == "sign" else ""
        if sign in _OPERATORS:
            self._advance()
            return Compare(field, _OPERATORS[sign], self._value())
        if sign in ("~", "!~"):
            self._advance(regex_may_come=True)
            return self._pattern(field, negated=sign == "!~")
        if self._took_word("exists"):
            return Exists(field)
        if self._took_word("contains"):
            return self._contains(field, negated=False)
        if self._took_word("is"):
            is_not = self._took_word("not")
            self._expect_word("null")
            return Compare(field, "!=" if is_not else "=", None)
        if self._took_word("not"):
            if self._took_word("contains"):
                return self._contains(field, negated=True)
            self._expect_word("in")
            return OneOf(field, self._list(), negated=True)
        if self._took_word("in"):
            return OneOf(field, self._list())
        raise self._error(_AFTER_A_FIELD)

    def _contains(self, field: str, *, negated: bool) -> Filter:
        token = self._advance()
        if token.kind not in ("text", "word", "number"):
            raise self._error("expected a text", token)
        text = str(token.value) if token.kind == "text" else token.text
        return Contains(field, text, negated)

    def _pattern(self, field: str, *, negated: bool) -> Matches:
        token = self._advance()
        if token.kind not in ("regex", "text"):
            raise self._error("expected a pattern such as /^resnet/", token)
        pattern, ignore_case = str(token.value), token.kind == "regex" and token.text.endswith("i")
        try:
            compile_pattern(pattern, ignore_case=ignore_case)
        except UsageError as error:
            raise self._error(str(error), token) from error
        return Matches(field, pattern, ignore_case, negated)

    def _value(self) -> Value:
        if self._next.text == "[" and self._next.kind == "sign":
            return self._list()
        return self._scalar()

    def _scalar(self) -> Scalar:
        token = self._advance()
        if token.kind in ("number", "text"):
            return token.value
        if token.kind == "word":
            # An unquoted word is a text, as in `state = finished`.
            return _WORDS.get(token.text.lower(), token.text.replace("`", ""))
        raise self._error("expected a number, a text in quotes, true, false or null", token)

    def _list(self) -> tuple[Scalar, ...]:
        closing = {"[": "]", "(": ")"}.get(self._next.text if self._next.kind == "sign" else "")
        if closing is None:
            raise self._error('expected a list such as ["a", "b"]')
        self._advance()
        values: list[Scalar] = []
        while not self._took_sign(closing):
            values.append(self._scalar())
            if not self._took_sign(","):
                self._expect(closing)
                break
        return tuple(values)

    def _advance(self, *, regex_may_come: bool = False) -> _Token:
        token = self._next
        self._next = self._scanner.token(regex_may_come=regex_may_come)
        return token

    def _took_word(self, word: str) -> bool:
        took = self._next.kind == "word" and self._next.text.lower() == word
        if took:
            self._advance()
        return took

    def _took_sign(self, sign: str) -> bool:
        took = self._next.kind == "sign" and self._next.text == sign
        if took:
            self._advance()
        return took

    def _expect(self, sign: str) -> None:
        if not self._took_sign(sign):
            raise self._error(f"expected {sign}, not {self._next.text}")

    def _expect_word(self, word: str) -> None:
        if not self._took_word(word):
            raise self._error(f"expected {word}, not {self._next.text}")

    def _error(self, message: str, token: _Token | None = None) -> FilterError:
        return FilterError(message, self._text, (token or self._next).column)
