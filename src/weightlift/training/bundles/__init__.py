"""Training bundles that others pickled: which parts are in one, and their documents. Nothing of a file is run."""

from .base import Bundle, Item
from .documents import Documents, documents_of
from .table import bundle_in, bundle_in_folder

__all__ = ["Bundle", "Documents", "Item", "bundle_in", "bundle_in_folder", "documents_of"]
