"""Do the reason codes speak to machines and to people?"""

import re

from vision.faults import MAX_DETAIL, Reason, StorageTrouble, Unreadable, one_line


def test_every_code_is_lower_snake_case_and_explained_in_a_sentence() -> None:
    for reason in Reason:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", reason.value)
        assert re.fullmatch(r"[A-Z].+\.", reason.explanation)


def test_a_code_read_back_from_the_database_is_the_same_reason() -> None:
    assert Reason("truncated") is Reason.TRUNCATED
    assert f"{Reason.TRUNCATED}" == "truncated"


def test_a_detail_is_one_printable_line_of_bounded_length() -> None:
    assert one_line("a\nb\t\x1b[31mc\x00 \udcff  d") == "a b [31mc d"
    assert len(one_line("x" * 5000)) == MAX_DETAIL


def test_a_fault_without_detail_takes_the_explanation() -> None:
    fault = Unreadable(Reason.EMPTY_FILE)
    assert fault.detail == Reason.EMPTY_FILE.explanation
    assert (fault.sha256, fault.size) == (None, None)


def test_a_passing_fault_is_no_verdict() -> None:
    assert not issubclass(StorageTrouble, Unreadable)
