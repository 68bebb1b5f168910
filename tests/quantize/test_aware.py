"""The schedule of quantization-aware training, and the shipped networks that were trained so."""

import pytest

from labcore import data, models, runtime, surgery
from labcore.quantize import AWARE_BITS, aware_config, load_aware, report_quantization
from labcore.training import TrainConfig, evaluate


@pytest.mark.parametrize(("epochs", "expected"), [(1, 1), (8, 1), (14, 1), (16, 2), (20, 2), (90, 9)])
def test_a_tenth_of_the_epochs_but_one_at_least(epochs, expected):
    assert aware_config(TrainConfig(epochs, 0.1)).epochs == expected


def test_the_rate_starts_at_one_percent_and_falls_to_one_percent_of_that():
    before = TrainConfig(50, 0.2, optimizer="sgd", schedule="constant", momentum=0.8, weight_decay=0.01, seed=3)
    after = aware_config(before)
    assert after.learning_rate == pytest.approx(0.002)
    assert (after.schedule, after.final_share) == ("cosine", 0.01)
    assert (after.optimizer, after.momentum, after.weight_decay, after.seed) == ("sgd", 0.8, 0.01, 3)


# --- shipped networks ---


@pytest.fixture(scope="module")
def garments():
    return data.load_dataset("fashion14")


@pytest.fixture(scope="module")
def shipped(garments):
    return load_aware(surgery.fold_batch_norm(models.load_model("lab_cnn"), garments.test_images[:1]),
                      garments.train_images[:1])  # fmt: skip


def test_shipped_networks_have_the_bits_they_were_trained_on(shipped):
    assert tuple(shipped) == AWARE_BITS
    for bits, network in shipped.items():
        assert not network.training
        assert {
            (each.weight_bits, each.activation_bits, each.granularity) for each in report_quantization(network).layers
        } == {(bits, bits, "per channel")}


@pytest.mark.parametrize("bits", AWARE_BITS)
def test_shipped_networks_are_as_right_as_the_manifest_says(shipped, garments, bits):
    entry = runtime.read_manifest()[f"lab_cnn-aware-{bits}.safetensors"]
    # Few bits: a difference in the last bit of a sum moves whole steps on another processor.
    assert evaluate(shipped[bits], garments.batches()).n_correct == pytest.approx(entry["n_correct"], abs=50)


def test_their_ranges_are_those_of_the_training_images_not_of_the_sample(garments):
    model = surgery.fold_batch_norm(models.load_model("lab_cnn"), garments.test_images[:1])
    one, other = (load_aware(model, garments.test_images[[i]])[4] for i in (0, 1))
    assert all(first.equal(second) for first, second in zip(one.buffers(), other.buffers(), strict=True))


def test_a_network_that_does_not_fit_is_refused(garments):
    model = surgery.fold_batch_norm(models.load_model("lab_cnn", width=8), garments.test_images[:1])
    with pytest.raises(RuntimeError, match="size mismatch"):
        load_aware(model, garments.test_images[:1])
