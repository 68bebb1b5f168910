"""Claims raise when the machine says otherwise; the closing table holds what was measured."""

import importlib
import math
import pkgutil
import subprocess
import sys
from dataclasses import replace

import pytest

from labcore.lesson import claim_table, claims
from labcore.lesson.claims import Bound, Claim, ClaimFailed, Statement, Trial

CHAPTER = 99
CHAPTERS = [
    importlib.import_module(each.name)
    for each in pkgutil.iter_modules(claim_table.__path__, "labcore.lesson.claim_table.") if "chapter_" in each.name
]  # fmt: skip


@pytest.fixture(autouse=True)
def table(monkeypatch):
    """Claims of our own beside the real ones, and no calls yet."""
    holds = Claim("900", CHAPTER, "The gap is large.", "Paper, table 1", "7 points", Bound(low=3, high=9), "holds")
    own = {
        "900": holds,
        "901": replace(holds, id="901", kind="does not reproduce", reason="the task is too easy"),
        "902": replace(holds, id="902", kind="timing", bound=Bound(low=2)),
        "903": replace(holds, id="903", exact=True, footnote="quoted from memory of the paper; check before citing"),
    }
    trials = {
        "small": Trial("small networks", "ratio", Bound(high=0.5), True),
        "large": Trial("large networks", "ratio", Bound(high=0.5), False),
    }
    monkeypatch.setattr(claims, "CLAIMS", claims.CLAIMS | own)
    monkeypatch.setattr(claims, "STATEMENTS", claims.STATEMENTS | {"S90": Statement("S90", CHAPTER, "Less.", trials)})
    monkeypatch.setattr(claims, "_calls", {})


# --- bounds ---


@pytest.mark.parametrize(
    ("bound", "inside", "outside"),
    [
        (Bound(1, 3), (1, 2, 3), (0.999, 3.001, math.nan)),
        (Bound(low=1.5), (1.5, 1e9), (1.499, -math.inf)),
        (Bound(high=-1), (-1, -5), (-0.999,)),
        (Bound(1, 1), (1, ((9 + 12) / (9 * 12)) / (1 / 12 + 1 / 9)), (1 + 1e-9, 1 - 1e-9)),
    ],
)
def test_a_bound_is_closed_and_forgives_the_last_bit_only(bound, inside, outside):
    assert all(value in bound for value in inside)
    assert not any(value in bound for value in outside)


# --- the three kinds ---


def test_a_claim_that_holds_shows_both_sides():
    result = claims.holds("900", 7.25)
    assert result.text == (
        "Claim 900: The gap is large.\nPaper says: 7 points (Paper, table 1)\nYou measured: ≈ 7.25: held"
    )


def test_a_claim_outside_its_bound_raises_with_sentence_number_and_bound():
    with pytest.raises(ClaimFailed, match=r"claim 900 .*The gap is large.*Measured 2\.5, expected from 3 to 9"):
        claims.holds("900", 2.5)
    assert claims.summary(CHAPTER).results == ()


def test_what_does_not_reproduce_is_shown_with_its_reason():
    assert claims.does_not_reproduce("901", 0.5).text.endswith("does not reproduce: the task is too easy")


def test_what_suddenly_reproduces_raises():
    with pytest.raises(ClaimFailed, match="Measured 5, expected outside from 3 to 9"):
        claims.does_not_reproduce("901", 5)


def test_a_timing_never_raises_in_a_chapter_but_does_in_a_benchmark(monkeypatch):
    assert "≈ held on this machine" in claims.timing("902", 2.5).text
    assert "≈ not held on this machine" in claims.timing("902", 1.5).text
    monkeypatch.setenv("LABCORE_BENCH", "1")
    assert claims.timing("902", 2.5).inside
    with pytest.raises(ClaimFailed, match="at least 2"):
        claims.timing("902", 1.5)


@pytest.mark.parametrize(
    ("call", "id", "sister"),
    [
        (claims.holds, "901", "does_not_reproduce"),
        (claims.holds, "902", "timing"),
        (claims.timing, "900", "holds"),
        (claims.does_not_reproduce, "900", "holds"),
    ],
)
def test_the_wrong_sister_raises_and_names_the_right_one(call, id, sister):
    with pytest.raises(ValueError, match=rf"call claims\.{sister}"):
        call(id, 5)


@pytest.mark.parametrize("number", [math.nan, math.inf])
@pytest.mark.parametrize(
    ("call", "id"), [(claims.holds, "900"), (claims.does_not_reproduce, "901"), (claims.timing, "902")]
)
def test_a_number_that_is_not_finite_is_no_measurement(call, id, number):
    with pytest.raises(ValueError, match="must be finite"):
        call(id, number)


def test_unknown_ids_list_the_known_ones():
    with pytest.raises(ValueError, match="unknown claim '1000'; choose one of: 46, 48"):
        claims.holds("1000", 1)
    with pytest.raises(ValueError, match="unknown statement 'S1000'; choose one of: S1, S2, S3"):
        claims.holds("900", 5, statement="S1000")


def test_an_exact_number_has_no_mark_and_a_quoted_figure_has_its_footnote():
    words = claims.holds("903", 5).text
    assert "You measured: 5: held" in words
    assert words.endswith("quoted from memory of the paper; check before citing")


def test_a_claim_may_test_a_statement_too():
    assert claims.holds("900", 5, statement="S90").text.endswith("Also tests S90: Less.")


# --- verdicts ---


def test_a_verdict_says_under_which_condition_the_statement_holds():
    result = claims.verdict("S90", {"small": 0.4, "large": 0.9})
    assert result.verdict == "holds only if"
    assert result.text == (
        "Statement S90: Less.\n"
        "small networks: ratio 40 % of before, held\n"
        "large networks: ratio 90 % of before, not held\n"
        "Verdict: holds only if: small networks"
    )


def test_booleans_count_as_one_and_zero():
    assert claims.verdict("S90", {"small": False, "large": True}).held == {"small": True, "large": False}


@pytest.mark.parametrize(
    ("measured", "became"),
    [
        ({"small": 0.4, "large": 0.4}, "'holds'"),
        ({"small": 0.9, "large": 0.9}, "'not here'"),
        ({"small": 0.9, "large": 0.4}, "'holds only if'"),
    ],
    ids=["all", "none", "other-condition"],
)
def test_a_changed_verdict_raises_even_when_only_the_condition_changed(measured, became):
    with pytest.raises(ClaimFailed, match=f"changed from 'holds only if' to {became}.*at most 0.5"):
        claims.verdict("S90", measured)


@pytest.mark.parametrize("measured", [{"small": 0.4}, {"small": 0.4, "large": 0.9, "huge": 1}, {}])
def test_every_trial_needs_its_number(measured):
    with pytest.raises(ValueError, match="S90 needs small, large; got"):
        claims.verdict("S90", measured)


# --- the closing table ---


def test_the_closing_table_lists_the_calls_in_their_order():
    claims.verdict("S90", {"small": 0.4, "large": 0.9})
    claims.timing("902", 1.5)
    claims.holds("900", 5)
    claims.holds("46", 1)
    assert [row[2] for row in claims.summary(CHAPTER)._rows][1:] == ["≈ 1.5", "≈ 5"]
    assert claims.summary(CHAPTER).text.splitlines()[-4:] == [
        "The gap is large.", "  paper says: 7 points", "  you measured: ≈ 5", "  outcome: held",
    ]  # fmt: skip


def test_a_cell_that_runs_again_replaces_its_row():
    claims.holds("900", 5)
    claims.holds("903", 5)
    claims.holds("900", 6)
    assert [row[2] for row in claims.summary(CHAPTER)._rows] == ["≈ 6", "5"]


def test_a_table_without_calls_says_so():
    assert "run its cells first" in claims.summary(CHAPTER).text
    assert "run its cells first" in claims.summary(CHAPTER).html


def test_every_result_shows_the_same_words_as_html():
    claims.holds("900", 5)
    bundle = claims.summary(CHAPTER)._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html"}
    assert all(words in bundle["text/html"] for words in ("The gap is large.", "7 points", "≈ 5", "held", "<th"))


# --- the real table ---


def test_chapter_0_holds_its_claims():
    n = 12  # here the ratio is not 1 in its last bit
    assert claims.holds("46", ((9 + n) / (9 * n)) / (1 / n + 1 / 9)).text.endswith("1 times the formula: held")
    assert "peaks differ 2.00x" in claims.holds("48", 2.0).text


def test_what_stands_in_the_table_can_be_shown():
    for claim in claims.CLAIMS.values():
        assert claim.bound.low is not None or claim.bound.high is not None
        assert (claim.kind == "does not reproduce") == bool(claim.reason)
        assert claim.show(1.5)


def test_no_id_stands_in_two_chapters_and_each_entry_knows_its_chapter():
    for name, merged in (("CLAIMS", claims.CLAIMS), ("STATEMENTS", claims.STATEMENTS)):
        tables = [(number, getattr(module, name)) for number, module in enumerate(CHAPTERS)]
        real = {id for id, entry in merged.items() if entry.chapter != CHAPTER}
        assert sum(len(entries) for _, entries in tables) == len(real)
        assert all(entry.chapter == number for number, entries in tables for entry in entries.values())


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (("S1", "S2", "S3", "S4", "S6", "S10"), "holds only if"),
        (("S5", "S7", "S8", "S9", "S11", "S12", "S13"), "holds"),
    ],
)
def test_the_verdicts_are_those_that_the_chapters_tell(ids, expected):
    assert {claims.STATEMENTS[id].expected for id in ids} == {expected}


def test_claims_do_not_load_torch():
    code = "import sys; from labcore.lesson import claims; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_verdict_that_a_clock_decides_raises_only_in_benchmarks(monkeypatch):
    slow, fast = {"masked": 1.0}, {"masked": 0.3}
    assert claims.verdict("S7", slow).outcome == "≈ holds"
    assert claims.verdict("S7", fast).outcome == "≈ not here"
    assert "≈ not held" in claims.verdict("S7", fast).text
    monkeypatch.setenv("LABCORE_BENCH", "1")
    with pytest.raises(claims.ClaimFailed, match="only masked"):
        claims.verdict("S7", fast)
