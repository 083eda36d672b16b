"""The typed door to JSON documents: every refusal is one line with file, place, found and expected."""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from scnas_keras.documents import Misfit, check_version, decode, load, parse
from scnas_keras.errors import DataError, GenotypeError

Size = Annotated[int, Meta(ge=1, le=1000)]


@dataclasses.dataclass(frozen=True)
class Part:
    sizes: tuple[Size, ...]
    spacing: tuple[Annotated[float, Meta(gt=0, le=1e4)], ...] = (1.0,)
    kind: Literal["encoder", "decoder", 3] = "encoder"
    axes: tuple[int, int, int] | None = None
    name: Annotated[str, Meta(min_length=1)] = "a"

    def __post_init__(self):
        if len(self.sizes) != len(self.spacing):
            raise Misfit("sizes", self.sizes, f"{len(self.spacing)} numbers, as in spacing")


class Edge(msgspec.Struct, frozen=True):
    source: int = msgspec.field(name="from")
    target: int = msgspec.field(name="to", default=0)


@dataclasses.dataclass(frozen=True)
class Whole:
    parts: Mapping[str, Part]
    names: dict[Annotated[int, Meta(ge=0, le=255)], str] = dataclasses.field(default_factory=dict)
    edges: tuple[Edge, ...] = ()
    other: Any = None


GOOD = {"sizes": [4]}


def refusal(content: Any) -> str:
    with pytest.raises(DataError) as caught:
        decode(content, Whole, "plans.json", "Fix it.")
    text = str(caught.value)
    assert text.startswith("plans.json: ") and text.endswith(". Fix it.") and "\n" not in text
    return text.removeprefix("plans.json: ").removesuffix(". Fix it.")


@pytest.mark.parametrize(
    "part, told",
    [
        ({"sizes": [4], "spacing": [0]}, "spacing[0]: found 0, expected a number > 0.0"),
        ({"sizes": [4], "spacing": [-2.5]}, "spacing[0]: found -2.5, expected a number > 0.0"),
        ({"sizes": [4], "spacing": [10**400]}, f"spacing[0]: found 1{'0' * 79}..., expected a number up to 1e308"),
        ({"sizes": [4], "spacing": [1e5]}, "spacing[0]: found 100000.0, expected a number <= 10000.0"),
        ({"sizes": [4], "spacing": ["1"]}, 'spacing[0]: found "1", expected a number'),
        ({"sizes": [10**9]}, "sizes[0]: found 1000000000, expected a whole number <= 1000"),
        ({"sizes": [10**30]}, f"sizes[0]: found 1{'0' * 30}, expected a whole number <= 1000"),
        ({"sizes": [True]}, "sizes[0]: found true, expected a whole number"),
        ({"sizes": [2.5]}, "sizes[0]: found 2.5, expected a whole number"),
        ({"sizes": []}, "sizes: found [], expected 1 numbers, as in spacing"),
        ({"sizes": 4}, "sizes: found 4, expected a list"),
        ({"sizes": {"0": 4}}, 'sizes: found {"0": 4}, expected a list'),
        ({"sizes": [4], "kind": "z"}, 'kind: found "z", expected one of 3, "decoder", "encoder"'),
        ({"sizes": [4], "axes": [0, 1]}, "axes: found [0, 1], expected a list of length 3"),
        ({"sizes": [4], "axes": "xyz"}, 'axes: found "xyz", expected a list or null'),
        ({"sizes": [4], "name": ""}, 'name: found "", expected a word in quotes of length >= 1'),
        ({"sizes": [4], "nmae": "b"}, "nmae: found this key, expected one of sizes, spacing, kind, axes, name"),
    ],
)
def test_the_place_is_named_with_what_was_found_and_expected(part, told):
    assert refusal({"parts": {"2d": GOOD, "3d": part, "last": GOOD}}) == f"parts.3d.{told}"


@pytest.mark.parametrize(
    "content, told",
    [
        ([1], "found [1], expected an object {...}"),
        (None, "found null, expected an object {...}"),
        ({}, 'found no keys, expected the key "parts"'),
        ({"prats": {}}, 'found the keys "prats", expected the key "parts" (is it "prats"?)'),
        ({"parts": []}, "parts: found [], expected an object {...}"),
        ({"parts": {"my part": [1]}}, 'parts["my part"]: found [1], expected an object {...}'),
        ({"parts": {}, "names": {"0": "a", "x": "b", "2": "c"}}, 'names.x: found the key "x", expected a whole number as key'),
        ({"parts": {}, "names": {"0": "a", "1": 7, "2": "c"}}, "names.1: found 7, expected a word in quotes"),
        ({"parts": {}, "names": {"0": "a", "256": "b"}}, 'names.256: found the key "256", expected a whole number <= 255 as key'),
        ({"parts": {}, "names": {"1": "a", "01": "b"}}, 'names.01: found the key "01", expected a whole number as key'),
        (
            {"parts": {}, "edges": [{"from": 1, "to": 2}, {"form": 1}]},
            'edges[1]: found the keys "form", expected the key "from" (is it "form"?)',
        ),
        ({"parts": {}, "edges": [{"from": 1, "source": 2}]}, "edges[0].source: found this key, expected one of from, to"),
    ],
)
def test_what_is_wrong_with_objects_is_told(content, told):
    assert refusal(content) == told


def test_a_good_document_becomes_tuples_and_numbers():
    value = decode({"parts": {"2d": {"sizes": [4], "spacing": [1]}}, "names": {"1": "a"}, "edges": [{"from": 3}]}, Whole, "plans.json")
    assert value == Whole({"2d": Part((4,), (1.0,))}, {1: "a"}, (Edge(3, 0),))


def test_documents_of_other_programs_may_have_other_keys():
    assert decode({"parts": {"2d": {"sizes": [4], "x": 1}}, "y": 2}, Whole, "a", other_keys=True).parts["2d"].sizes == (4,)


def test_the_place_is_found_among_many_keys_at_once():
    parts = {f"case_{index}": GOOD for index in range(20_000)} | {"bad": {"sizes": ["4"]}}
    assert refusal({"parts": parts | {"last": GOOD}}).startswith("parts.bad.sizes[0]: ")


def test_the_error_has_the_class_that_was_asked_for():
    with pytest.raises(GenotypeError):
        decode([], Whole, "genotype.json", error=GenotypeError)


@pytest.mark.parametrize(
    "text, told",
    [
        (b"", "found an empty file, expected a JSON document."),
        (b"\xef\xbb\xbf \n", "found an empty file, expected a JSON document."),
        (b'{"parts": {', "line 1, column 12: found broken JSON (the file ends here: was it cut off?), expected a JSON document: "),
        (b'{"parts": \n {,}}', "line 2, column 3: found broken JSON, expected a JSON document: "),
        (b'{"a": "\xe9"}', "byte 7: found no text in UTF-8 (invalid continuation byte), expected a JSON document saved as UTF-8."),
        (
            '{"a": 1}'.encode("utf-16")[:-1],
            "byte 16: found no text in UTF-16-LE (truncated data), expected a JSON document saved as UTF-8.",
        ),
        (b'{"parts": {"2d": {"sizes": [1, NaN]}}}', "parts.2d.sizes[1]: found NaN, expected a finite number."),
        (b'{"a": -Infinity}', "a: found -Infinity, expected a finite number."),
        (b'{"a": 1e999}', "a: found Infinity, expected a finite number."),
        (b'{"a": {"b": 1, "c": 2, "b": 1}}', "a.b: found this key more than once, expected once."),
        (b"[" * 100_000, "found lists or objects nested too deeply, expected a JSON document."),
        (b"1" * 5000, "Exceeds the limit"),
        (b'{"a": ["b", "\\ud800"]}', r"a[1]: found '\ud800', half of a character, expected text."),
        (b'{"\\udfff": 1}', r"found '\udfff', half of a character, expected text."),
    ],
)
def test_files_that_hold_no_usable_json_are_refused(tmp_path, text, told):
    (tmp_path / "a.json").write_bytes(text)
    with pytest.raises(DataError) as caught:
        parse(tmp_path / "a.json", "Fix it.")
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'a.json'}: {told}") and message.endswith(". Fix it.") and "\n" not in message


def test_what_cant_be_opened_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"none.json: can't be read \(No such file or directory\)\. Fix it\."):
        parse(tmp_path / "none.json", "Fix it.")
    with pytest.raises(DataError, match="can't be read"):
        parse(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_files_with_a_mark_and_whole_numbers_with_a_point_are_read(encoding, tmp_path):
    (tmp_path / "a.json").write_bytes('{"parts": {"2d": {"sizes": [4.0]}}}'.encode(encoding))
    assert load(tmp_path / "a.json", Whole) == Whole({"2d": Part((4,))})


@pytest.mark.parametrize(
    "content, told",
    [
        ({"format": "mine", "version": 3}, "a.json: version 3 can't be read; this release reads version 1 and 2."),
        ({"format": "mine", "version": True}, "a.json: version true can't be read; this release reads version 1 and 2."),
        ({"format": "mine"}, "a.json: version null can't be read; this release reads version 1 and 2."),
        ({"version": 1}, 'a.json: format: found null, expected "mine".'),
        ([1], "a.json: found [1], expected an object {...}."),
    ],
)
def test_versions_are_checked_first(content, told):
    with pytest.raises(GenotypeError) as caught:
        check_version(content, "mine", (1, 2), "a.json", error=GenotypeError)
    assert str(caught.value) == told
    assert check_version({"format": "mine", "version": 2}, "mine", (1, 2), "a.json") == 2
