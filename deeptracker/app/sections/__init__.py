"""The sections of the explorer, one class a file: figures of ``view``, their controls, and what a click selects."""
