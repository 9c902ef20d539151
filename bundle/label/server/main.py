"""MONAI Label's stock app for bundles with what this bundle adds; ``prepare_app`` copies this file to an app folder."""

from __future__ import annotations

import monaibundle  # the stock app's main.py, beside this file in the app folder
from monailabel.interfaces.app import MONAILabelApp

from bundle.label.server.app import Additions


# MONAI Label takes the class that has MONAILabelApp among its direct bases.
class PancreasApp(Additions, monaibundle.MyApp, MONAILabelApp):
    """See :class:`bundle.label.server.app.Additions`."""
