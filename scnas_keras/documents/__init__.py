"""JSON documents: read into typed values, or refused in one line that says file, place, what was found, what was expected."""

from scnas_keras.documents.reading import Misfit as Misfit
from scnas_keras.documents.reading import check_version as check_version
from scnas_keras.documents.reading import decode as decode
from scnas_keras.documents.reading import load as load
from scnas_keras.documents.reading import parse as parse
from scnas_keras.documents.reading import parse_text as parse_text
