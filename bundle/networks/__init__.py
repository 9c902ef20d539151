"""Networks that MONAI does not have, and the loading of weights."""

from bundle.networks.weights import load_weights, prepare, publish_weights

__all__ = ["load_weights", "prepare", "publish_weights"]
