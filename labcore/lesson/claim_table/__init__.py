"""The table of claims and statements on trial: what is said, by whom, and within which bounds it counts as true.

Only what a chapter tests stands here. Bounds are nowhere else.
"""

from labcore.lesson.claim_table import chapter_0, chapter_1, chapter_2, chapter_3, chapter_4
from labcore.lesson.claim_table.entries import Bound, Claim, Kind, Statement, Trial, Verdict, judge

__all__ = ["CLAIMS", "STATEMENTS", "Bound", "Claim", "Kind", "Statement", "Trial", "Verdict", "judge"]

_CHAPTERS = (chapter_0, chapter_1, chapter_2, chapter_3, chapter_4)

CLAIMS: dict[str, Claim] = {id: entry for chapter in _CHAPTERS for id, entry in chapter.CLAIMS.items()}
STATEMENTS: dict[str, Statement] = {id: entry for chapter in _CHAPTERS for id, entry in chapter.STATEMENTS.items()}
