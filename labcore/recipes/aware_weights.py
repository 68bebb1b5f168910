"""`lab_cnn-aware-*.safetensors`: the shipped network trained on with its rounding, once for each number of bits."""

from dataclasses import asdict

from safetensors.torch import save

from labcore.data import load_dataset
from labcore.models import load_model
from labcore.quantize import AWARE_BITS
from labcore.recipes.quantization import NVIDIA, aware_settings, train_aware
from labcore.surgery import fold_batch_norm
from labcore.training import evaluate

__all__ = ["make_aware_weights"]


def make_aware_weights() -> dict[str, tuple[bytes, dict]]:
    """Weights and ranges by file name, and what the manifest says of them."""
    data = load_dataset("fashion14")
    folded, files = fold_batch_norm(load_model("lab_cnn"), data.test_images[:1]), {}
    for bits in AWARE_BITS:
        network, _ = train_aware(folded, "lab_cnn", bits, NVIDIA, seed=0)
        answers = evaluate(network, data.batches())
        facts = {
            "recipe": asdict(aware_settings("lab_cnn", NVIDIA)), "weights_and_activations": bits,
            "n_correct": answers.n_correct, "n_images": answers.n_images,
        }  # fmt: skip
        files[f"lab_cnn-aware-{bits}.safetensors"] = save(network.state_dict()), facts
    return files
