"""Weights and activations of one bit, or of three values, and inference on packed bits."""

from labcore.binarize.apply import apply_binary as apply_binary
from labcore.binarize.apply import binary_layers as binary_layers
from labcore.binarize.apply import find_layers as find_layers
from labcore.binarize.apply import fix_binary as fix_binary
from labcore.binarize.apply import middle_layers as middle_layers
from labcore.binarize.codes import FACTOR as FACTOR
from labcore.binarize.codes import Codes as Codes
from labcore.binarize.codes import fit_binary as fit_binary
from labcore.binarize.codes import fit_ternary as fit_ternary
from labcore.binarize.codes import k_map as k_map
from labcore.binarize.codes import relative_error as relative_error
from labcore.binarize.codes import ternary_threshold as ternary_threshold
from labcore.binarize.config import BinaryConfig as BinaryConfig
from labcore.binarize.latent import LatentWeights as LatentWeights
from labcore.binarize.latent import glorot_scale as glorot_scale
from labcore.binarize.layers import BinaryLayer as BinaryLayer
from labcore.binarize.layers import FixedLayer as FixedLayer
from labcore.binarize.layers import SignActivation as SignActivation
from labcore.binarize.signs import Estimator as Estimator
from labcore.binarize.signs import binary_sign as binary_sign
from labcore.binarize.signs import hard_sigmoid as hard_sigmoid
from labcore.binarize.signs import sign_through as sign_through
from labcore.binarize.signs import surrogate_slope as surrogate_slope
