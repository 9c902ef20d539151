"""The bundle as an application of the MONAI Deploy App SDK: ``python -m bundle.deploy -i STUDIES -o RESULTS``.

``studies`` decides what is segmented and what is said of it, without the SDK; ``operators`` and ``app`` need it
(requirements-deploy.txt).
"""

from bundle.deploy.studies import chosen_series, exit_code, nothing_to_segment, segment_study

__all__ = ["chosen_series", "exit_code", "nothing_to_segment", "segment_study"]
