"""What CloudTrail calls its objects, and how large they may be. No I/O."""

from __future__ import annotations

import re

LOG_NAME = re.compile(r"\d{12}_CloudTrail_[^/]*\.json(?:\.gz)?\Z", re.ASCII)
"""The end of a log file's key."""

DIGEST_LIMIT = 64 << 20
"""The largest digest, unpacked; they have some hundred bytes for each log file of an hour."""
