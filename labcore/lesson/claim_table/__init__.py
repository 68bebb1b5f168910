"""The table of claims and statements on trial: what is said, by whom, and within which bounds it counts as true.

Only what a chapter tests stands here. Bounds are nowhere else.
"""

from labcore.lesson.claim_table import chapter_0, chapter_1, chapter_2
from labcore.lesson.claim_table.entries import Bound, Claim, Kind, Statement, Trial, Verdict, judge

__all__ = ["CLAIMS", "STATEMENTS", "Bound", "Claim", "Kind", "Statement", "Trial", "Verdict", "judge"]

CLAIMS: dict[str, Claim] = chapter_0.CLAIMS | chapter_1.CLAIMS | chapter_2.CLAIMS
STATEMENTS: dict[str, Statement] = chapter_0.STATEMENTS | chapter_1.STATEMENTS | chapter_2.STATEMENTS
