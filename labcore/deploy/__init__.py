"""Models outside PyTorch: ONNX files, ONNX Runtime, and what makes integers fast."""

from labcore.deploy.export import export_onnx as export_onnx
from labcore.deploy.files import measure_onnx as measure_onnx
from labcore.deploy.ladder import measure_ladder as measure_ladder
from labcore.deploy.processor import integer_instructions as integer_instructions
from labcore.deploy.processor import popcount_instructions as popcount_instructions
from labcore.deploy.quantization import quantize_onnx_dynamic as quantize_onnx_dynamic
from labcore.deploy.quantization import quantize_onnx_static as quantize_onnx_static
from labcore.deploy.sessions import OnnxModel as OnnxModel
from labcore.deploy.sessions import session as session
