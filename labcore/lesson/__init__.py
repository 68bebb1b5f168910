"""What makes the chapters a lesson: claims, exercise checks, predictions, and the learner's progress."""
