"""The wire format of ringfence.dev: what people write, read into the model and described for the API server."""

from ringfence.api.parser import Parsed, parse
from ringfence.api.validate import MAX_ERRORS

__all__ = ["MAX_ERRORS", "Parsed", "parse"]
