"""claims.json: what has to be true of it before a page is made of it."""

from pathlib import Path
from typing import Literal

import pydantic
from pydantic import Field

from scorelab.claims.claim import VERDICTS
from scorelab.files import checked_by, read_json

#: a number as JSON has it: a number that JSON cannot hold is null
Number = float | int | None


class _Comparison(pydantic.BaseModel):
    statement: str
    what: str
    value: Number
    relation: Literal["=", "<=", ">="]
    against: Number
    error: Number = Field(ge=0)
    outcome: bool | None


class _Declared(pydantic.BaseModel):
    id: str
    source: str
    statement: str
    corrected: str | None
    recorded: str
    fault: str | None
    seconds: float = Field(ge=0)


class _Measured(_Declared):
    verdict: Literal[*VERDICTS]
    finding: str
    counterexample: str | None
    comparisons: list[_Comparison]


class _Broken(_Declared):
    verdict: str
    error: str


def read_results(path: Path) -> list[dict]:
    """The entries of claims.json. Raises ScorelabError if it is damaged, with the first entry that is not whole."""
    results = read_json(path)
    checked_by(pydantic.RootModel[list[dict]], path, results)
    for number, result in enumerate(results):
        checked_by(_Broken if "error" in result else _Measured, path, result, f"entry {number}: ")
    return results
