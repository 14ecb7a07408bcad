"""Is a labels file read as people write them, and refused by line where it cannot be?"""

from pathlib import Path

import pytest

from trainer.errors import LabelsError
from trainer.labels import Condition, LabelRow, LabelsFile, read_labels


def read(tmp_path: Path, text: str, **options: str) -> list[tuple[str, str]]:
    path = tmp_path / "labels.txt"
    path.write_text(text, encoding="utf-8")
    return [(row.path, row.label) for row in read_labels(LabelsFile(path=path, **options))]


def test_blank_separated_without_a_header_takes_the_column_after_the_path(tmp_path: Path) -> None:
    text = "images/cell0001.png  1.0   mono\nimages/cell0004.png  0.0   poly  \n"
    assert read(tmp_path, text) == [("images/cell0001.png", "1.0"), ("images/cell0004.png", "0.0")]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_header_names_the_label_column_wherever_it_stands(tmp_path: Path, delimiter: str) -> None:
    text = "label,line,file\nok,3,a b.JPG\nng,4,c.tif\n".replace(",", delimiter)
    assert read(tmp_path, text) == [("a b.JPG", "ok"), ("c.tif", "ng")]


def test_quoted_cells_may_hold_the_delimiter(tmp_path: Path) -> None:
    assert read(tmp_path, '"a, b.png",ok\n"c.png",ng\n') == [("a, b.png", "ok"), ("c.png", "ng")]


def test_a_byte_order_mark_and_blank_lines_are_passed_over(tmp_path: Path) -> None:
    assert read(tmp_path, "\ufefffile,class\n\na.png,ok\n\n") == [("a.png", "ok")]


def test_columns_can_be_given_by_name_or_by_number(tmp_path: Path) -> None:
    text = "before,after,first,second\na.png,b.png,ok,ng\n"
    by_name = read(tmp_path, text, path_column="after", label_column="second")
    by_number = read(tmp_path, text, path_column="2", label_column="4")
    assert by_name == by_number == [("b.png", "ng")]


def test_a_column_that_is_called_label_is_it_whatever_else_could_be(tmp_path: Path) -> None:
    rows = read(tmp_path, "path,label,part,defect\na.png,ok,nut,\nb.png,bad,nut,scratch\n")
    assert rows == [("a.png", "ok"), ("b.png", "bad")]


def test_several_possible_label_columns_under_a_header_are_asked_about(tmp_path: Path) -> None:
    with pytest.raises(LabelsError, match=r"--label-column \(columns: file, shift, result\)"):
        read(tmp_path, "file,shift,result\na.png,2,ok\n")


def test_a_column_that_does_not_exist_is_refused_with_those_that_do(tmp_path: Path) -> None:
    with pytest.raises(LabelsError, match=r"--label-column 'grade'.*columns: file, shift"):
        read(tmp_path, "file,shift\na.png,2\n", label_column="grade")


def test_a_file_without_a_column_of_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabelsError, match="--path-column"):
        read(tmp_path, "name,label\npart-1,ok\npart-2,ng\n")


def test_a_short_line_is_named_by_its_number(tmp_path: Path) -> None:
    with pytest.raises(LabelsError, match="line 3"):
        read(tmp_path, "file,label\na.png,ok\nb.png\n")


@pytest.mark.parametrize(("text", "why"), [("", "is empty"), ("file,label\n", "a header and nothing else")])
def test_a_file_without_images_is_refused(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(LabelsError, match=why):
        read(tmp_path, text)


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(LabelsError, match="cannot be read"):
        read_labels(LabelsFile(path=tmp_path / "none.csv"))


@pytest.mark.parametrize(
    ("condition", "label", "holds"),
    [
        (">=0.5", "0.5", True),
        (">= 0.5", "0.3333", False),
        ("<1", "0", True),
        (">1", "1", False),
        ("<=1", "1.0", True),
        ("==1", "1.0", True),
        ("!=0", "0.0", False),
        ("!=ok", "scratch", True),
        ("==ng", "ng", True),
    ],
)
def test_a_condition_compares_numbers_as_numbers_and_words_as_words(condition: str, label: str, holds: bool) -> None:
    assert Condition.parse(condition).holds(LabelRow(path="a.png", label=label, line=1)) is holds


@pytest.mark.parametrize("text", ["0.5", "=>1", ">=", "about 3"])
def test_what_is_no_condition_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(LabelsError, match=r"'>=0\.5' or '!=ok'"):
        Condition.parse(text)


def test_a_word_cannot_be_greater_than_a_number(tmp_path: Path) -> None:
    with pytest.raises(LabelsError, match=r"line 7.*'ok' cannot be compared"):
        Condition.parse(">=0.5").holds(LabelRow(path="a.png", label="ok", line=7))
