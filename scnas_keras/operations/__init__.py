"""The candidate operations: a folder each, with `facts.py` (what is known of it without a framework) and `layer.py` (its Keras layer).

Every folder in this package is an operation, or several that differ in settings; nothing else lists them.
"""
