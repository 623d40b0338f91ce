"""The model catalogue on the controller: YAML in, the types of `gridtie.host.catalogue` out."""

from gridtie.catalogue.load import CatalogueFileError, load, load_documents, load_lock
from gridtie.host.catalogue import Catalogue, Model, Pin, Shape

__all__ = ["Catalogue", "CatalogueFileError", "Model", "Pin", "Shape", "load", "load_documents", "load_lock"]
