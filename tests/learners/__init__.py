"""What learners answer to the exercises: one module a chapter, and in it tables by the id of the exercise.

RIGHT: what the right answer gives on the first input. WRONG: what each known wrong answer gives there, by its code.
VARIANTS: other right answers. UNKNOWN: a wrong answer that nobody has named, of the right shape.
NATURAL: wrong answers as learners write them, with the code that they get.
"""
