"""Networks that MONAI does not have, and the loading of weights."""

from bundle.networks.init import initialised
from bundle.networks.pnet_msa import PNetMSA
from bundle.networks.resdsn import ResDSN
from bundle.networks.slice_sequence import SliceSequence
from bundle.networks.unet3d import UNet3d
from bundle.networks.valid_unet import ValidUNet
from bundle.networks.weights import load_weights, prepare, publish_weights
from bundle.networks.xue2019 import MultitaskDenseUNet

__all__ = [
    "MultitaskDenseUNet",
    "PNetMSA",
    "ResDSN",
    "SliceSequence",
    "UNet3d",
    "ValidUNet",
    "initialised",
    "load_weights",
    "prepare",
    "publish_weights",
]
