"""The bundle in MONAI Label: a folder with its app, a command that starts the server, and what the server adds.

``app`` prepares the folder and ``command`` starts the server; neither needs MONAI Label to be imported. ``answer``,
``ranking``, ``split`` and ``choice`` are what is decided without it. ``server`` runs inside MONAI Label's process and
is imported nowhere else.
"""

from bundle.label.answer import answer, refusal
from bundle.label.app import prepare_app
from bundle.label.choice import chosen
from bundle.label.ranking import ranked

__all__ = ["answer", "chosen", "prepare_app", "ranked", "refusal"]
