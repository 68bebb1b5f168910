"""What learners are asked: predictions before an experiment, and the self-test at the start of the course."""

from labcore.lesson.predictions import chapter_0, chapter_1, chapter_2, chapter_3, chapter_4
from labcore.lesson.predictions.entries import Prediction, Quantity, Reason
from labcore.lesson.predictions.self_test import SELF_TEST, SelfTestQuestion

__all__ = ["PREDICTIONS", "SELF_TEST", "Prediction", "Quantity", "Reason", "SelfTestQuestion"]

PREDICTIONS: dict[str, Prediction] = {
    prediction.id: prediction
    for module in (chapter_0, chapter_1, chapter_2, chapter_3, chapter_4)
    for prediction in module.PREDICTIONS
}
