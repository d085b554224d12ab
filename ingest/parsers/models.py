"""Names of models: whether a name stands for one version, or for whatever its provider runs.

`exact`: the name carries a date or a released version. `floating`: an alias of a family whose
provider moves it, or an inference profile, which routes to a model. `unknown`: everything else,
for instance a name that somebody gave to a deployment.
"""

from __future__ import annotations

import re

_EXACT = re.compile(
    r".*(?:"
    r"[-_@]20\d\d-?[01]\d-?[0-3]\d"  # gpt-4o-2024-05-13, claude-sonnet-4-20250514, …@20241022
    r"|[-_](?:0[1-9]|1[0-2])[0-3]\d(?!\d)"  # gpt-4-0613
    r"|gemini-.*-\d{3}"  # gemini-1.5-pro-002
    r"|-v\d+:\d+"  # amazon.nova-pro-v1:0
    r"|@sha256:[0-9a-f]{64}"
    r")(?:-v\d+(?::\d+)?)?(?:-(?:preview|exp|beta))?",
    re.ASCII | re.DOTALL,
)
_LATEST = re.compile(r"(?:.*[-:@])?(?:latest|default|stable)", re.ASCII | re.DOTALL)
_PROFILE = re.compile(r"(?:us|eu|apac|global|us-gov|jp|au|ca|sa|uk)\.[a-z0-9-]+\..+", re.ASCII)
_FAMILIES = re.compile(
    r"(?:gpt|chatgpt|o[1-9]|claude|gemini|command|mistral|codestral|grok|nova|titan"
    r"|text-embedding|text-davinci|deepseek|sonar|jamba|palm)(?:[-._:].*|\d.*)?",
    re.ASCII | re.DOTALL,
)
_PROVIDERS = re.compile(
    r"(?:openai|anthropic|google|gemini|vertex_ai|azure|bedrock|mistral|mistralai|cohere|xai|amazon"
    r"|models|publishers|foundation-model)[/:.]",
    re.ASCII,
)


def exactness(name: str) -> str:
    """In the words of `verify.facts.EXACTNESS`."""
    plain = name.strip().lower()
    if "inference-profile/" in plain:
        return "floating"
    plain = plain.rpartition("/")[2] if plain.startswith("arn:") else plain
    while match := _PROVIDERS.match(plain):
        plain = plain[match.end() :]
    if _PROFILE.fullmatch(plain) or _LATEST.fullmatch(plain):
        return "floating"
    if _EXACT.fullmatch(plain):
        return "exact"
    return "floating" if _FAMILIES.fullmatch(plain) else "unknown"
